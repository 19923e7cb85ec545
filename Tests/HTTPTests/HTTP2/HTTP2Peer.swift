#if canImport(HTTP)
    @testable import HTTP
#endif

/// One end of a connection in memory, with everything its events told.
final class HTTP2Peer {
    enum Told: Equatable {
        case request(HTTP2StreamID, method: String, target: String, authority: String, lines: String, BodyFraming)
        case response(HTTP2StreamID, status: UInt16, lines: String, BodyFraming)
        case data(HTTP2StreamID, String)
        case ended(HTTP2StreamID, trailers: String)
        case malformed(HTTP2StreamID, HTTPError)
        case reset(HTTP2StreamID, HTTP2ErrorCode, by: HTTP2ResetOrigin)
        case closed(HTTP2StreamID)
        case drained(HTTP2StreamID)
        case goAway(HTTP2StreamID, HTTP2ErrorCode)
    }

    let session: HTTP2Session
    var told: [Told] = []
    /// Why `receive` gave up.
    var error: HTTP2Error?
    var now: UInt64 = 1_000_000_000
    /// Gives DATA back as it comes.
    var consumes = true
    private(set) var head = RequestHead()

    init(_ role: HTTP2Session.Role, _ limits: HTTP2Limits = HTTP2Limits()) {
        session = try! HTTP2Session(role: role, limits: limits)
    }

    init(_ session: HTTP2Session) {
        self.session = session
    }

    func receive(_ octets: [UInt8]) {
        guard error == nil else { return }
        do throws(HTTP2Error) {
            try session.receive(octets.span, now: now)
        } catch {
            self.error = error
        }
        takeEvents(octets)
    }

    /// Everything that waits.
    func output(limit: Int = 1 << 20) -> [UInt8] {
        var octets: [UInt8] = []
        _ = try? session.takeOutput(into: &octets, limit: limit)
        takeEvents([])
        return octets
    }

    private func takeEvents(_ octets: [UInt8]) {
        for event in session.events { take(event, octets) }
        session.clearEvents()
    }

    private func take(_ event: HTTP2Event, _ octets: [UInt8]) {
        switch event {
        case .request(let id, let slot, _):
            session.takeRequestHead(slot, into: &head)
            told.append(
                .request(
                    id, method: text(head[head.methodRange]), target: text(head[head.targetRange]),
                    authority: text(head[head.authority]), lines: lines(of: head.fields), head.framing))
        case .response(let id, let slot, _):
            var head = ResponseHead()
            session.takeResponseHead(slot, into: &head)
            told.append(.response(id, status: head.status, lines: lines(of: head.fields), head.framing))
        case .data(let id, let range):
            if consumes { session.consumed(id, range.count) }
            let piece = Self.text(octets[range])
            if case .data(id, let before)? = told.last {
                told[told.count - 1] = .data(id, before + piece)
            } else {
                told.append(.data(id, piece))
            }
        case .ended(let id, let slot):
            var trailers = FieldSection()
            if let slot { session.takeTrailers(slot, into: &trailers) }
            told.append(.ended(id, trailers: lines(of: trailers)))
        case .malformed(let id, let error): told.append(.malformed(id, error))
        case .reset(let id, let code, let origin): told.append(.reset(id, code, by: origin))
        case .closed(let id): told.append(.closed(id))
        case .drained(let id): told.append(.drained(id))
        case .goAway(let id, let code): told.append(.goAway(id, code))
        }
    }

    private func lines(of fields: FieldSection) -> String {
        var output: [UInt8] = []
        HTTP1Serialiser.fieldLines(of: fields, to: &output)
        precondition(HTTP1Serialiser.areFieldLines(output.span))
        return Self.text(output[...])
    }

    private func text(_ octets: Span<UInt8>) -> String {
        var output: [UInt8] = []
        output.append(span: octets)
        return Self.text(output[...])
    }

    /// One character for each octet: no repair may hide a difference.
    private static func text(_ octets: ArraySlice<UInt8>) -> String {
        var text = String.UnicodeScalarView()
        for octet in octets { text.append(Unicode.Scalar(octet)) }
        return String(text)
    }

    /// Sends a request for a path of `example.com`.
    func request(
        _ method: String = "GET", _ path: String = "/", lines: String = "", more: String = "", ends: Bool = true
    ) -> HTTP2StreamID? {
        let (method, path) = (Array(method.utf8), Array(path.utf8))
        let (scheme, authority) = (Array("https".utf8), Array("example.com".utf8))
        return session.sendRequest(
            method: method.span, scheme: scheme.span, authority: authority.span, path: path.span,
            fieldLines: Array(lines.utf8), more: Array(more.utf8), ends: ends)
    }

    func respond(_ id: HTTP2StreamID, _ status: UInt16 = 200, lines: String = "", ends: Bool = true) {
        session.sendResponse(id, status: status, fieldLines: Array(lines.utf8), ends: ends)
    }

    func send(_ id: HTTP2StreamID, _ text: String) {
        session.sendData(id, Array(text.utf8).span)
    }
}

/// Carries octets between two ends until both are silent.
func exchange(_ client: HTTP2Peer, _ server: HTTP2Peer) {
    while true {
        let sent = client.output()
        if !sent.isEmpty { server.receive(sent) }
        let answered = server.output()
        if !answered.isEmpty { client.receive(answered) }
        if sent.isEmpty, answered.isEmpty { return }
    }
}
