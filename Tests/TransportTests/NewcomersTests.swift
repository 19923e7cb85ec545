import Testing
import Transport

/// Whose turn it is among those who are not connected yet.
@Suite struct NewcomersTests {
    private func at(_ microseconds: UInt64) -> Instant { Instant(nanoseconds: microseconds * 1000) }

    @Test("nobody waits, nobody is due")
    func empty() {
        var newcomers = Newcomers()
        #expect(newcomers.due == .never)
        #expect(!newcomers.isTLSDue(at(1)))
        #expect(newcomers.takeHandshake() == nil)
        #expect(newcomers.takeListeners(withTLS: true).isEmpty && newcomers.takeListeners(withTLS: false).isEmpty)
    }

    @Test("turns come in the order of asking; who asks again waits for the next round")
    func order() {
        var newcomers = Newcomers()
        for datum in 0..<5000 as Range<UInt64> { newcomers.add(handshake: datum) }
        for datum in 0..<3000 as Range<UInt64> { #expect(newcomers.takeHandshake() == datum) }
        newcomers.add(handshake: 5000)
        #expect(newcomers.handshakeCount == 2001)
        for datum in 3000...5000 as ClosedRange<UInt64> { #expect(newcomers.takeHandshake() == datum) }
        #expect(newcomers.takeHandshake() == nil && newcomers.due == .never)
        newcomers.add(listener: 1, withTLS: false)
        newcomers.add(listener: 2, withTLS: false)
        newcomers.add(listener: 3, withTLS: true)
        #expect(newcomers.takeListeners(withTLS: false) == [1, 2])
        newcomers.add(listener: 1, withTLS: false)
        #expect(newcomers.takeListeners(withTLS: false) == [1])
        #expect(newcomers.takeListeners(withTLS: true) == [3])
    }

    @Test("TLS pauses as long as it took when most handshakes come to nothing and others are served; never the rest")
    func pacing() {
        for (completed, abandoned, besideOthers) in [
            (0, 1, true), (1, 1, true), (0, 1, false), (40, 39, true), (39, 40, true),
        ] {
            var newcomers = Newcomers()
            for _ in 0..<completed { newcomers.handshakeEnded(isComplete: true) }
            for _ in 0..<abandoned { newcomers.handshakeEnded(isComplete: false) }
            newcomers.add(handshake: 1)
            #expect(newcomers.due <= at(100) && newcomers.isTLSDue(at(100)))
            newcomers.tlsServed(from: at(100), to: at(400), besideOthers: besideOthers)
            let pauses = abandoned > completed && besideOthers
            #expect(newcomers.due == at(pauses ? 700 : 400))
            #expect(newcomers.isTLSDue(at(699)) == !pauses && newcomers.isTLSDue(at(700)))
            // A listener without TLS does not wait for it.
            newcomers.add(listener: 2, withTLS: false)
            #expect(newcomers.due == at(0))
            #expect(newcomers.takeListeners(withTLS: false) == [2])
            newcomers.add(listener: 3, withTLS: true)
            #expect(newcomers.takeHandshake() == 1)
            #expect(newcomers.due == at(pauses ? 700 : 400) && newcomers.isTLSDue(at(700)))
        }
    }

    @Test("a turn in which the machine stood still is followed by a pause of 10 ms at most")
    func standstill() {
        var newcomers = Newcomers()
        newcomers.handshakeEnded(isComplete: false)
        newcomers.add(handshake: 1)
        newcomers.tlsServed(from: at(0), to: at(10_000_000), besideOthers: true)
        #expect(newcomers.due == at(10_010_000))
    }

    @Test("what was long ago counts less and less: a few hundred good handshakes end the pauses of a flood")
    func forgetting() {
        var newcomers = Newcomers()
        for _ in 0..<1_000_000 { newcomers.handshakeEnded(isComplete: false) }
        newcomers.add(handshake: 1)
        var good = 0
        repeat {
            newcomers.tlsServed(from: at(0), to: at(1), besideOthers: true)
            guard newcomers.due == at(2) else { break }
            newcomers.handshakeEnded(isComplete: true)
            good += 1
        } while good < 1000
        #expect((64...256).contains(good))
    }
}
