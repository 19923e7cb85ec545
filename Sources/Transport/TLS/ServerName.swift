/// Names of servers, as clients ask for them (RFC 6066 §3) and certificates hold them.
enum ServerName {
    /// RFC 1035 §2.3.4, without the trailing dot.
    static let octetsMax = 253

    static func lowercased(_ octet: UInt8) -> UInt8 {
        octet >= UInt8(ascii: "A") && octet <= UInt8(ascii: "Z") ? octet | 0x20 : octet
    }

    /// A name to look up, in lower case and without its trailing dot; nil for what can't be a host name.
    static func normalised(_ name: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        var count = name.count
        if count > 0, name[count - 1] == UInt8(ascii: ".") { count -= 1 }
        guard count > 0, count <= octetsMax else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(count)
        var previous = UInt8(ascii: ".")
        for octet in name.prefix(count) {
            let isDot = octet == UInt8(ascii: ".")
            guard isDot ? previous != octet : isHostOctet(octet) else { return nil }
            previous = octet
            out.append(lowercased(octet))
        }
        return out
    }

    static func normalised(_ name: [UInt8]) -> [UInt8]? { name.withUnsafeBufferPointer { normalised($0) } }

    /// Underscores are not in host names, and are in use all the same.
    private static func isHostOctet(_ octet: UInt8) -> Bool {
        switch octet {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// The name in the body of a server_name extension: a list with one host_name (type 0). Nil when it is malformed.
    ///
    ///     0  u16  octets of the list
    ///     2  u8   type, 0
    ///     3  u16  octets of the name, big-endian like the other
    ///     5       the name
    static func inExtension(_ body: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
        guard body.count > 5, Int(body[0]) << 8 | Int(body[1]) == body.count - 2, body[2] == 0 else { return nil }
        guard Int(body[3]) << 8 | Int(body[4]) == body.count - 5 else { return nil }
        return UnsafeBufferPointer(rebasing: body[5...])
    }
}

/// Which certificate serves a name: the one that holds it, else one with a wildcard for its first label.
struct ServerNameTable<Value> {
    private var exact: [[UInt8]: Value] = [:]
    /// By what follows "*".
    private var wildcards: [[UInt8]: Value] = [:]

    /// Adds a name of a certificate, in lower case. Of several certificates for a name the first one serves it.
    mutating func add(_ name: [UInt8], _ value: Value) {
        if name.first == UInt8(ascii: "*"), name.dropFirst().first == UInt8(ascii: ".") {
            let rest = Array(name.dropFirst())
            guard ServerName.normalised(Array(rest.dropFirst())) != nil else { return }
            if wildcards[rest] == nil { wildcards[rest] = value }
        } else if let name = ServerName.normalised(name), exact[name] == nil {
            exact[name] = value
        }
    }

    /// `name` is normalised.
    subscript(name: [UInt8]) -> Value? {
        if let value = exact[name] { return value }
        // RFC 9525 §6.3: the wildcard stands for one whole label.
        guard !wildcards.isEmpty, let dot = name.firstIndex(of: UInt8(ascii: ".")), dot > 0 else { return nil }
        return wildcards[Array(name[dot...])]
    }
}

extension ServerNameTable: Sendable where Value: Sendable {}
