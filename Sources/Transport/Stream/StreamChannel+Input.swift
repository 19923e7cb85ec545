internal import CLinux

extension StreamChannel {
    /// Notes an end or an error that the kernel reported.
    final func peerCloses(_ events: ReadyEvents) {
        let isNews = !state.contains(.peerClosed)
        state.insert(.peerClosed)
        if state.contains(.closesAfterFlush) {
            // The other side is gone in both directions: nobody receives what is queued.
            if !events.isDisjoint(with: [.hangUp, .error]) { close() }
        } else if isNews, state.contains(.readPaused), !state.contains(.endRead) {
            peerClosedWhilePaused()
        }
    }

    /// Reads and offers until the kernel has no more, the subclass pauses, or the channel had its share of the batch.
    final func readWhileReady(isHandshakeTurn: Bool = false) {
        if isServerHandshaking, !isHandshakeTurn { return queueHandshake() }
        if state.contains(.offersKept) { offerKept() }
        if let tls, !tls.unread.isEmpty { receiveUnread(tls) }
        var reads = 0
        while mayRead, state.contains(.readReady), isOpen {
            let keptCount = kept.count
            // Full: the subclass must consume or resume first.
            guard keptCount <= worker.limits.readBytes else { return }
            guard reads < worker.limits.readsPerBatch else { return enqueue(isUnfinished: true) }
            // After close_notify nothing is read but the error that an event announced.
            if let tls, tls.isEndReceived, !state.contains(.peerClosed) { break }
            reads += 1
            let asked = worker.limits.readBytes
            let target = tls == nil ? worker.inputScratch + keptCount : worker.tls.ciphertext
            let result = cl_recv(descriptor, target, asked)
            if result > 0 {
                octetsRead &+= UInt64(result)
                if result < asked, !state.contains(.peerClosed) { state.remove(.readReady) }
                if let tls {
                    receivedCiphertext(tls, UnsafeBufferPointer(start: target, count: result))
                } else {
                    copyKeptToScratch()
                    offer(keptCount + result, keptCount: keptCount)
                    // TLS begins with what was not consumed.
                    if state.contains(.inHandshakeQueue) { return }
                }
            } else if result == 0 {
                state.remove(.readReady)
                state.formUnion([.endRead, .peerClosed])
                if endedDuringHandshake() { return }
            } else if -result == EAGAIN {
                state.remove(.readReady)
            } else if -result != EINTR {
                return fail(Errno(result: result))
            }
        }
        deliverEnd()
    }

    /// A handshake goes on while the subclass reads nothing.
    @inline(__always)
    final var mayRead: Bool {
        if state.isDisjoint(with: [.readPaused, .connecting]) { return true }
        return isHandshaking && state.isDisjoint(with: [.connecting, .closesAfterFlush])
    }

    private func deliverEnd() {
        guard state.contains(.endRead), state.isDisjoint(with: [.endDelivered, .readPaused, .offersKept]), isOpen else {
            return
        }
        if let tls, !tls.unread.isEmpty { return }
        state.insert(.endDelivered)
        receivedEnd()
    }

    private func offerKept() {
        guard !state.contains(.readPaused), isOpen else { return }
        state.remove(.offersKept)
        guard !kept.isEmpty else { return }
        copyKeptToScratch()
        offer(kept.count, keptCount: kept.count)
    }

    final func copyKeptToScratch() {
        guard !kept.isEmpty else { return }
        kept.withUnsafeBufferPointer { worker.inputScratch.update(from: $0.baseAddress!, count: $0.count) }
    }

    /// Offers the first `count` octets of the scratch, of which `keptCount` are in `kept` too.
    final func offer(_ count: Int, keptCount: Int) {
        // The scratch is used by one channel at a time: no call that a subclass can make from `received` reads from a
        // socket.
        let octets = UnsafeBufferPointer(start: worker.inputScratch, count: count)
        let wasPlain = tls == nil
        let consumed = received(octets.span)
        precondition(consumed >= 0 && consumed <= count, "consumed more than was offered")
        guard isOpen else { return }
        if let tls, wasPlain {
            kept = []
            tls.unread = Array(octets[consumed...])
            return queueHandshake()
        }
        let left = count - consumed
        if left == 0 {
            if keptCount > 0 { kept = [] }
        } else if consumed == 0, keptCount > 0 {
            kept.append(contentsOf: UnsafeBufferPointer(rebasing: octets[keptCount...]))
        } else {
            kept.removeAll(keepingCapacity: kept.capacity >= left && kept.capacity <= 4 * left)
            kept.append(contentsOf: UnsafeBufferPointer(rebasing: octets[consumed...]))
        }
    }
}
