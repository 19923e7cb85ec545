@testable import HTTP

/// Valid messages, as octets on a connection; every split of each must mean the same.
enum MessageCorpus {
    static let requests: [String] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        // RFC 9112 §2.1.
        "GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\n"
            + "Accept-Language: en, mi\r\n\r\n",
        // RFC 9112 §3.2.1 to §3.2.4.
        "GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\n\r\n",
        "GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1\r\nHost: www.example.org\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n",
        "OPTIONS http://www.example.org:8001 HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /a?b HTTP/1.1\r\nHost:a:80\r\nX:\t y \t\r\nEmpty:\r\nContent-Length:3 \r\n"
            + "Expect: 100-continue\r\n\r\nabcGET /next HTTP/1.1\r\nhost: b\r\n\r\n",
        // RFC 9112 §7.1: chunked with extensions and trailers.
        "PUT /c HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\nTE: gzip;q=0.5, trailers\r\n"
            + "Connection: TE, keep-alive\r\nTransfer-Encoding: CHUNKED\r\nTrailer: X-Sum\r\n\r\n"
            + "4\r\nWiki\r\n6;a=b;c=\"q\\\"\\\\;\"\r\npedia \r\n00E; x\r\nin \r\n\r\nchunks.\r\n"
            + "0;last\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\nDELETE /d HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\r\nGET /older HTTP/1.0\r\n\r\n",
        "M-SEARCH /x HTTP/1.1\r\nHost: a\r\nVia: \u{e9}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "TRACE /t HTTP/1.1\r\nHost: a\r\n\r\n",
    ]

    static let responses: [String] = [
        // RFC 9112 §2.1.
        "HTTP/1.1 200 OK\r\nDate: Mon, 27 Jul 2009 12:28:53 GMT\r\nServer: Apache\r\n"
            + "ETag: \"34aa387-d-1568eb00\"\r\nContent-Length: 14\r\n\r\nHello World!\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n"
            + "0\r\nServer-Timing: a\r\nX-B: c\r\n\r\nHTTP/1.1 304\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.0 500 \r\nX: y\r\n\r\nuntil the\r\n\r\nclose",
    ]

    static func octets(_ text: String) -> [UInt8] { Array(text.utf8) }
}
