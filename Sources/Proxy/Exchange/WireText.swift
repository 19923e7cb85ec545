/// Constant pieces of messages.
enum WireText {
    static let lineEnd: [UInt8] = Array("\r\n".utf8)
    static let continueLine: [UInt8] = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
    static let chunkedLine: [UInt8] = Array("Transfer-Encoding: chunked\r\n".utf8)
    static let closeLine: [UInt8] = Array("Connection: close\r\n".utf8)
    static let keepAliveLine: [UInt8] = Array("Connection: keep-alive\r\n".utf8)
    static let listSeparator: [UInt8] = Array(", ".utf8)
    static let exposePrefix: [UInt8] = Array("Access-Control-Expose-Headers: ".utf8)
    static let acceptedLine: [UInt8] = Array("Repeatability-Result: accepted\r\n".utf8)
    static let rejectedLine: [UInt8] = Array("Repeatability-Result: rejected\r\n".utf8)
    static let root: [UInt8] = Array("/".utf8)
    static let unixPeer: [UInt8] = Array("unix".utf8)
    static let upgradeLine: [UInt8] = Array("Connection: upgrade\r\n".utf8)
    static let http: [UInt8] = Array("http".utf8)
    static let https: [UInt8] = Array("https".utf8)
    static let teLine: [UInt8] = Array("TE: trailers\r\n".utf8)
    /// In lower case; bit 5 of `-` and `:` is set already.
    static let contentLengthName: [UInt8] = Array("content-length:".utf8)
    static let contentLengthZeroLine: [UInt8] = Array("Content-Length: 0\r\n".utf8)
    static let http2Preface: [UInt8] = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    static let switchToHTTP2: [UInt8] = Array(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".utf8)
    /// RFC 9209: the store failed and the route says to forward all the same.
    static let unprotectedLine: [UInt8] = Array("Proxy-Status: oncegate;details=\"unprotected\"\r\n".utf8)
}
