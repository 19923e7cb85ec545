import HTTP

extension FieldSection {
    /// The message's type is `application/grpc`, with or without `+suffix` or parameters (gRPC over HTTP/2).
    var isGRPC: Bool {
        guard let line = first(.contentType) else { return false }
        let type = value(line)
        let name = FieldSection.grpcType
        guard type.count >= name.count else { return false }
        for index in name.indices where type[index] | 0x20 != name[index] | 0x20 { return false }
        guard type.count > name.count else { return true }
        return type[name.count] == UInt8(ascii: "+") || type[name.count] == UInt8(ascii: ";")
            || type[name.count] == UInt8(ascii: " ")
    }

    private static let grpcType: [UInt8] = Array("application/grpc".utf8)
}
