/// Constant pieces of messages.
enum WireText {
    static let lineEnd: [UInt8] = Array("\r\n".utf8)
    static let continueLine: [UInt8] = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
    static let chunkedLine: [UInt8] = Array("Transfer-Encoding: chunked\r\n".utf8)
    static let closeLine: [UInt8] = Array("Connection: close\r\n".utf8)
    static let keepAliveLine: [UInt8] = Array("Connection: keep-alive\r\n".utf8)
    static let root: [UInt8] = Array("/".utf8)
    static let unixPeer: [UInt8] = Array("unix".utf8)
    static let upgradeLine: [UInt8] = Array("Connection: upgrade\r\n".utf8)
    /// RFC 9209: the store failed and the route says to forward all the same.
    static let unprotectedLine: [UInt8] = Array("Proxy-Status: oncegate;details=\"unprotected\"\r\n".utf8)
}
