/// Addresses, URLs and paths.
extension ValueReader {
    func listenAddress() throws(ValueProblem) -> Configuration.Endpoint {
        if text.hasPrefix("unix:") { return try unixEndpoint(after: "") }
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else {
            if let port = UInt16(text) {
                throw ValueProblem("'\(text)' has no address", hint: "write '127.0.0.1:\(port)' or '0.0.0.0:\(port)'?")
            }
            throw ValueProblem("'\(text)' is not an address", hint: "HOST:PORT, [V6]:PORT or unix:/PATH")
        }
        let portText = text[text.utf8.index(after: colon)...]
        let hostText = text[..<colon]
        guard let octets = hostLiteral(hostText) else {
            if hostText.isEmpty || hostText == "*" {
                throw ValueProblem(
                    "'\(text)' has no address", hint: "write '0.0.0.0:\(portText)' or '[::]:\(portText)'?")
            }
            if hostText == "localhost" {
                throw ValueProblem("'localhost' is a name", hint: "write '127.0.0.1:\(portText)'?")
            }
            if AddressText.octets(of: text) != nil {
                throw ValueProblem("'\(text)' has no port", hint: "write '[\(text)]:8080'?")
            }
            throw ValueProblem("'\(text)' is not an address", hint: "HOST:PORT, [V6]:PORT or unix:/PATH; no names")
        }
        // Port 0 asks the kernel for a free one.
        return .network(host: AddressText.text(of: octets), port: try port(portText, from: 0))
    }

    func serverURL() throws(ValueProblem) -> Configuration.Upstream.Server {
        if text.hasPrefix("unix:") { return .init(endpoint: try unixEndpoint(after: "")) }
        if text.hasPrefix("h2c+unix:") { return .init(scheme: .h2c, endpoint: try unixEndpoint(after: "h2c+")) }
        let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let scheme = Configuration.Upstream.Server.Scheme(rawValue: String(parts[0])) else {
            throw unknownURL()
        }
        var authority = parts[1]
        if authority.hasSuffix("/") { authority = authority.dropLast() }
        if let slash = authority.firstIndex(where: { "/?#".contains($0) }) {
            throw ValueProblem("a server's URL has no path", hint: "write '\(scheme)://\(authority[..<slash])'?")
        }
        guard !authority.contains("@") else { throw ValueProblem("a server's URL has no user") }
        let colon = authority.lastIndex(of: ":")
        let isLiteralOnly = authority.hasSuffix("]")
        guard let colon, !isLiteralOnly else {
            return .init(scheme: scheme, endpoint: .network(host: try serverHost(authority), port: scheme.defaultPort))
        }
        return .init(
            scheme: scheme,
            endpoint: .network(
                host: try serverHost(authority[..<colon]),
                port: try port(authority[authority.index(after: colon)...], from: 1)))
    }

    /// What to write instead of a URL with no scheme of ours.
    private func unknownURL() -> ValueProblem {
        let message = "'\(text)' is not a server's URL"
        let forms = "http://, https:// or h2c://HOST:PORT, unix:/PATH or h2c+unix:/PATH"
        if let path = text.firstRange(of: "unix:").map({ text[$0.upperBound...] }), path.hasPrefix("/") {
            let isEncrypted = text.hasPrefix("https")
            return ValueProblem(
                message,
                hint: isEncrypted ? "TLS needs https://HOST:PORT" : "write 'unix:\(path)' or 'h2c+unix:\(path)'?")
        }
        if text.hasPrefix("unix+h2c:/") {
            return ValueProblem(message, hint: "write 'h2c+unix:\(text.dropFirst(9))'?")
        }
        guard let scheme = text.firstRange(of: "://") else {
            let isBare = !text.hasPrefix("/") && !text.isEmpty
            return ValueProblem(message, hint: isBare ? "write 'http://\(text)'?" : forms)
        }
        let rest = text[scheme.upperBound...]
        switch text[..<scheme.lowerBound].lowercased() {
        case "h2", "http2", "grpc":
            return ValueProblem(message, hint: "write 'h2c://\(rest)', or with TLS 'https://\(rest)'?")
        case "grpcs", "tls", "ssl", "h2s":
            return ValueProblem(message, hint: "write 'https://\(rest)'?")
        case "http", "https", "h2c":
            return ValueProblem(message, hint: "write '\(text[..<scheme.lowerBound].lowercased())://\(rest)'?")
        case let other:
            let guess = Suggestion.nearest(to: other, among: ["http", "https", "h2c"])
            return ValueProblem(message, hint: guess.map { "write '\($0)://\(rest)'?" } ?? forms)
        }
    }

    /// A URL with a path, perhaps a query, that gets a POST.
    func webhook() throws(ValueProblem) -> Configuration.Webhook {
        let hint = "https://HOST/PATH"
        guard text.hasPrefix("https://") || text.hasPrefix("http://") else {
            throw ValueProblem("'\(text)' is not a URL to post to", hint: hint)
        }
        let start = text.index(text.startIndex, offsetBy: text.hasPrefix("https") ? 8 : 7)
        let end = text[start...].firstIndex { "/?#".contains($0) } ?? text.endIndex
        let server = try ValueReader(String(text[..<end])).serverURL()
        var target = String(text[end...])
        if !target.hasPrefix("/") { target = "/" + target }
        return Configuration.Webhook(server: server, target: try ValueReader(target).requestPath())
    }

    func inputFile() throws(ValueProblem) -> String {
        guard !text.isEmpty, !text.utf8.contains(0), text.utf8.count < 4096 else {
            throw ValueProblem("'\(text)' is not the path of a file")
        }
        return text
    }

    func serverName() throws(ValueProblem) -> String {
        if text.hasPrefix("*.") {
            throw ValueProblem("'\(text)' is a wildcard", hint: "the name that one server has")
        }
        if let colon = text.lastIndex(of: ":"), !text.hasPrefix("["), AddressText.octets(of: text) == nil,
            UInt16(text[text.index(after: colon)...]) != nil
        {
            throw ValueProblem("'\(text)' has a port", hint: "write '\(text[..<colon])'?")
        }
        if let octets = AddressText.octets(of: text) { return AddressText.text(of: octets) }
        return try serverHost(text[...])
    }

    func filePath(what: String) throws(ValueProblem) -> String {
        guard text.hasPrefix("/"), !text.utf8.contains(0), text.utf8.count < 4096 else {
            throw ValueProblem("'\(text)' is not an absolute \(what)", hint: "it starts with '/'")
        }
        return text
    }

    func logDestination() throws(ValueProblem) -> String {
        if text == "stdout" || text == "stderr" { return text }
        guard text.hasPrefix("/") else {
            let guess = Suggestion.nearest(to: text, among: ["stdout", "stderr"])
            throw ValueProblem(
                "'\(text)' is no destination of a log",
                hint: guess.map { "did you mean '\($0)'?" } ?? "stdout, stderr or an absolute path")
        }
        return try filePath(what: "path")
    }

    func addressBlock() throws(ValueProblem) -> Configuration.AddressBlock {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let octets = parts.first.flatMap({ AddressText.octets(of: $0) }) else {
            throw ValueProblem("'\(text)' is not a CIDR block", hint: "such as 10.0.0.0/8 or fd00::/8")
        }
        guard parts.count == 2 else { return Configuration.AddressBlock(octets: octets, prefixBits: octets.count * 8) }
        let bits = parts[1].utf8.allSatisfy(\.isDigit) ? Int(parts[1]) : nil
        guard let bits, bits <= octets.count * 8 else {
            throw ValueProblem("'\(text)' is not a CIDR block", hint: "the prefix has 0 to \(octets.count * 8) bits")
        }
        let block = Configuration.AddressBlock(octets: octets, prefixBits: bits)
        guard block.octets == octets else {
            throw ValueProblem("'\(text)' has bits after its prefix", hint: "write '\(block)'?")
        }
        return block
    }

    func requestPath() throws(ValueProblem) -> String {
        guard text.hasPrefix("/"), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") })
        else {
            throw ValueProblem("'\(text)' is not a path", hint: "it starts with '/' and is visible ASCII")
        }
        return text
    }

    func host() throws(ValueProblem) -> String {
        let octets = Array(text.utf8)
        let isHost =
            !octets.isEmpty && octets.count <= 255
            && octets.allSatisfy { $0.isLetter || $0.isDigit || "-._:[]".utf8.contains($0) }
        guard isHost else {
            throw ValueProblem("'\(text)' is not a host", hint: "a name or address, perhaps with a port")
        }
        return text
    }

    /// `[HOST]/PATH`, the path as the router sees it.
    func routePath() throws(ValueProblem) -> String {
        let (host, path) = RoutePath.split(text)
        if let sign = text.first, sign == "=" || sign == "~" {
            throw ValueProblem("'\(sign)' and the rest are two arguments", hint: "write '\(sign) \(text.dropFirst())'?")
        }
        guard let path else {
            throw ValueProblem(
                "'\(text)' has no path", hint: text.contains(".") ? "write '\(text)/'?" : "write '/\(text)'?")
        }
        guard path.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") && $0 != UInt8(ascii: "?") })
        else {
            throw ValueProblem(
                "'\(text)' is not a path", hint: "visible ASCII without '?' and '#'; escape the rest as %XX")
        }
        guard let normal = RoutePath.normalised(path) else {
            throw ValueProblem("'\(text)' is not a path", hint: "a bad escape, or '..' above the root")
        }
        guard normal == path else {
            throw ValueProblem(
                "'\(path)' is not a normalised path: it would match nothing", hint: "write '\(host)\(normal)'?")
        }
        guard !host.isEmpty else { return text }
        guard
            host.utf8.allSatisfy({ $0.isLetter || $0.isDigit || "-._".utf8.contains($0) })
                || hostLiteral(host[...]) != nil
        else {
            throw ValueProblem("'\(host)' is not a host", hint: "a name or address, without port")
        }
        if !host.contains("."), !host.contains(":"), host != "localhost" {
            throw ValueProblem("'\(host)' is taken as a host", hint: "write '/\(text)'?", value: .text(text))
        }
        return text
    }

    private func unixEndpoint(after scheme: String) throws(ValueProblem) -> Configuration.Endpoint {
        let path = String(text.dropFirst(scheme.count + 5))
        guard path.hasPrefix("/"), !path.utf8.contains(0) else {
            throw ValueProblem("'\(text)' is not an absolute path", hint: "write '\(scheme)unix:/PATH'")
        }
        guard path.utf8.count <= Configuration.Endpoint.unixPathOctetsMax else {
            throw ValueProblem("the socket's path is longer than \(Configuration.Endpoint.unixPathOctetsMax) octets")
        }
        return .unix(path: path)
    }

    private func port(_ text: Substring, from low: UInt16) throws(ValueProblem) -> UInt16 {
        guard !text.isEmpty, text.utf8.allSatisfy(\.isDigit), let port = UInt16(text), port >= low else {
            throw ValueProblem("'\(text)' is not a port", hint: "from \(low) to 65535")
        }
        return port
    }

    /// An IPv4 literal, or an IPv6 literal in brackets.
    private func hostLiteral(_ text: Substring) -> [UInt8]? {
        if text.hasPrefix("["), text.hasSuffix("]") {
            let octets = AddressText.octets(of: text.dropFirst().dropLast())
            return octets?.count == 16 ? octets : nil
        }
        let octets = AddressText.octets(of: text)
        return octets?.count == 4 ? octets : nil
    }

    private func serverHost(_ text: Substring) throws(ValueProblem) -> String {
        if let octets = hostLiteral(text) { return AddressText.text(of: octets) }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        let isName =
            !text.isEmpty && text.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy {
                        $0.isLetter || $0.isDigit || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
                    }
            }
        // A last label of digits is an address that is wrong, not a name.
        guard isName, !labels[labels.count - 1].utf8.allSatisfy(\.isDigit) else {
            throw ValueProblem(
                "'\(text)' is not a host", hint: "a name, an IPv4 address or an IPv6 address in brackets")
        }
        return text.lowercased()
    }
}

/// The `[HOST]/PATH` of a route.
enum RoutePath {
    /// The host, empty when there is none, and the path, nil when there is none.
    static func split(_ text: String) -> (host: String, path: String?) {
        guard let slash = text.firstIndex(of: "/") else { return (text, nil) }
        return (String(text[..<slash]), String(text[slash...]))
    }

    /// The path as routes and record keys see it: escapes of unreserved characters decoded, the others in upper case,
    /// slashes single, `.` and `..` resolved. Nil for a bad or forbidden escape and for `..` above the root.
    static func normalised(_ path: String) -> String? {
        let input = Array(path.utf8)
        var decoded: [UInt8] = []
        var index = 0
        while index < input.count {
            guard input[index] == UInt8(ascii: "%") else {
                decoded.append(input[index])
                index += 1
                continue
            }
            guard index + 2 < input.count, input[index + 1].isHexadecimalDigit, input[index + 2].isHexadecimalDigit,
                let octet = UInt8(String(decoding: input[index + 1...index + 2], as: UTF8.self), radix: 16), octet != 0
            else { return nil }
            let isUnreserved = octet.isLetter || octet.isDigit || "-._~".utf8.contains(octet)
            decoded +=
                isUnreserved
                ? [octet] : Array(String(decoding: input[index...index + 2], as: UTF8.self).uppercased().utf8)
            index += 3
        }
        var segments: [String] = []
        let parts = String(decoding: decoded, as: UTF8.self).split(separator: "/", omittingEmptySubsequences: true)
        for part in parts {
            if part == ".." {
                guard segments.popLast() != nil else { return nil }
            } else if part != "." {
                segments.append(String(part))
            }
        }
        let endsInSlash = decoded.last == UInt8(ascii: "/") || parts.last == "." || parts.last == ".."
        return "/" + segments.joined(separator: "/") + (endsInSlash && !segments.isEmpty ? "/" : "")
    }
}
