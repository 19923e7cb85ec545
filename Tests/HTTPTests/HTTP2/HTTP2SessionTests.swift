import Testing

@testable import HTTP

@Suite("HTTP/2: a client's session against a server's")
struct HTTP2SessionTests {
    let client = HTTP2Peer(.client)
    let server = HTTP2Peer(.server)

    @Test("A request and its response")
    func simple() throws {
        let id = try #require(client.request("GET", "/a?b", lines: "Accept: */*\r\n"))
        #expect(id.rawValue == 1)
        exchange(client, server)
        #expect(
            server.told == [
                .request(
                    id, method: "GET", target: "/a?b", authority: "example.com",
                    lines: "host: example.com\r\naccept: */*\r\n", .none)
            ])
        server.told = []
        server.respond(id, 200, lines: "Content-Type: text/plain\r\nContent-Length: 5\r\n", ends: false)
        server.send(id, "hello")
        server.session.endStream(id)
        exchange(client, server)
        #expect(
            client.told == [
                .response(id, status: 200, lines: "content-type: text/plain\r\ncontent-length: 5\r\n", .length(5)),
                .data(id, "hello"), .ended(id, trailers: ""), .closed(id),
            ])
        #expect(server.told == [.closed(id)])
        #expect(client.session.activeStreams == 0 && server.session.activeStreams == 0)
    }
}
