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

    /// What the HTTP status would be of an answer that has nothing but a gRPC status, by which the route's lists are to
    /// be read: whoever calls again after UNAVAILABLE is to be served again. Nil where the HTTP status tells.
    var statusOfGRPC: UInt16? {
        isGRPC ? grpcStatus : nil
    }

    /// The same of trailers, which do not tell their message's type.
    var grpcStatus: UInt16? {
        guard let line = grpcStatusLine else { return nil }
        let text = value(lines[line])
        var code = 0
        guard (1...2).contains(text.count) else { return nil }
        for index in text.indices {
            guard text[index] >= 0x30, text[index] <= 0x39 else { return nil }
            code = code * 10 + Int(text[index] - 0x30)
        }
        switch code {
        case 1, 4: return 504  // CANCELLED, DEADLINE_EXCEEDED: nobody knows how far it came.
        case 7: return 403
        case 8: return 429
        case 14: return 503
        case 16: return 401
        default: return nil
        }
    }

    var hasGRPCStatus: Bool { grpcStatusLine != nil }

    private var grpcStatusLine: Int? { firstIndex(named: "grpc-status") }

    private static let grpcType: [UInt8] = Array("application/grpc".utf8)
}
