#if canImport(HTTP)
    @testable import HTTP
#endif

/// What must hold for an HTTP/2 session whatever its peer sends, and for the reader of PROXY headers; traps when it
/// does not.
///
/// The first octet chooses what reads, the second how the octets are cut, the third what the caller does in between.
func checkAnyHTTP2Octets(_ input: [UInt8]) {
    guard input.count >= 3 else { return }
    let octets = Array(input.dropFirst(3))
    if input[0] % 8 == 7 { return checkProxyHeader(octets) }
    let role: HTTP2Session.Role = input[0] % 2 == 0 ? .server : .client
    var limits = HTTP2Limits()
    if input[0] & 0x80 != 0 {
        // Small enough for small inputs to reach.
        limits.streamsMax = 3
        limits.connectionWindowBytes = 70_000
        limits.headerListBytesMax = 300
        limits.fieldsMax = 6
        limits.responseFieldsMax = 4
        limits.trailerBytesMax = 100
        limits.trailersMax = 2
        limits.resetBurst = 5
        limits.glitchBurst = 30
        limits.queuedFramesMax = 20
        limits.drainedBytes = 10
    }
    // Without the caller's doing, how the octets are cut must not matter, unless there is an error: in a larger piece
    // it may come before what stands in front of it.
    let whole = HTTP2FuzzPeer(role, limits)
    whole.receive(octets, cut: octets.count, actions: nil)
    let pieces = HTTP2FuzzPeer(role, limits)
    pieces.receive(octets, cut: Int(input[1] % 64) + 1, actions: nil)
    if !whole.hasFailed, !pieces.hasFailed {
        precondition(whole.peer.told == pieces.peer.told, "the meaning depends on how the octets were split")
    }
    let active = HTTP2FuzzPeer(role, limits)
    active.receive(octets, cut: Int(input[1]) + 1, actions: input[2])
    active.finish()
}

/// A session with a caller that answers, resets, takes output in portions and gives windows back.
private final class HTTP2FuzzPeer {
    let peer: HTTP2Peer
    private var seen = 0
    private var number: UInt32 = 1

    init(_ role: HTTP2Session.Role, _ limits: HTTP2Limits) {
        peer = HTTP2Peer(role, limits)
        _ = peer.output()
        if role == .client {
            _ = peer.request("GET", "/a", lines: "A: b\r\n")
            _ = peer.request("HEAD", "/b")
            _ = peer.request("POST", "/c", ends: false)
            _ = peer.output()
            peer.receive(Frames.settings())
        } else {
            peer.receive(Frames.clientStart)
        }
    }

    func receive(_ octets: [UInt8], cut: Int, actions: UInt8?) {
        if let actions {
            number = UInt32(actions) &* 2_654_435_761 | 1
            peer.consumes = actions & 1 == 0
        }
        var start = 0
        while start < octets.count {
            let end = min(octets.count, start + cut)
            peer.receive(Array(octets[start..<end]))
            start = end
            if actions != nil { act() }
        }
    }

    /// The peer has made a mistake, of whatever kind, or has ended the connection.
    var hasFailed: Bool {
        _ = peer.output()
        return peer.session.isFinished || peer.error != nil || peer.session.goAwaySent != nil
            || peer.told.contains { if case .reset(_, _, by: .session) = $0 { true } else { false } }
    }

    private func next(_ bound: UInt32) -> UInt32 {
        number = number &* 1_664_525 &+ 1_013_904_223
        return number >> 8 % bound
    }

    private func act() {
        peer.now += UInt64(next(1000)) * 1_000_000
        while seen < peer.told.count {
            let event = peer.told[seen]
            seen += 1
            switch event {
            case .request(let id, _, _, _, _, _): answer(id)
            case .malformed(let id, let error): peer.respond(id, error.status)
            case .data(let id, let text) where next(3) == 0: peer.session.consumed(id, text.unicodeScalars.count / 2)
            case .ended(let id, _) where next(2) == 0:
                peer.send(id, "more")
                peer.session.endStream(id, trailerLines: Array("T: u\r\n".utf8))
            default: break
            }
        }
        if next(2) == 0 { _ = peer.output(limit: Int(next(40_000))) }
        if peer.session.role == .client, next(4) == 0 { _ = peer.request("PUT", "/d", ends: next(2) == 0) }
        if next(50) == 0 { peer.session.announceShutdown() }
        if next(80) == 0 { peer.session.finishShutdown() }
    }

    private func answer(_ id: HTTP2StreamID) {
        switch next(6) {
        case 0: peer.session.reset(id, .cancel)
        case 1: peer.respond(id, 404)
        case 2:
            peer.session.sendInterim(id, status: 103, fieldLines: Array("L: m\r\n".utf8))
            peer.respond(id, ends: false)
            peer.session.sendData(id, shared: [UInt8](repeating: 1, count: 50_000), 10..<50_000)
        case 3:
            peer.respond(id, ends: false)
            peer.session.endStream(id, trailerLines: Array("T: u\r\n".utf8))
        case 4:
            peer.respond(id, ends: false)
            peer.send(id, "hello")
            peer.session.endStream(id)
        default: break
        }
    }

    /// Whatever happened, the connection can be ended, and then nothing is left of it.
    func finish() {
        peer.session.terminate(.noError)
        var count = 0
        while peer.session.wantsOutput, count < 10_000 {
            _ = peer.output(limit: 1 << 20)
            count += 1
        }
        precondition(peer.session.isFinished, "a terminated session is not finished")
    }
}

/// A header needs exactly its own octets, and is the same with more behind them.
private func checkProxyHeader(_ octets: [UInt8]) {
    guard let result = try? ProxyHeaderParser.parse(octets.span) else { return }
    precondition(result.consumed <= octets.count && result.consumed <= ProxyHeaderParser.bytesMax)
    let exact = try? ProxyHeaderParser.parse(Array(octets.prefix(result.consumed)).span)
    precondition(exact?.header == result.header)
    guard let fewer = try? ProxyHeaderParser.parse(Array(octets.prefix(result.consumed - 1)).span) else { return }
    preconditionFailure("a header was found in too few octets: \(fewer)")
}
