internal import CLinux

extension StreamChannel {
    // MARK: calls

    /// Serves TLS from here on, after `adopt`. Inside `received`: what that call does not consume is ciphertext, as
    /// are octets that were kept. `secured` or `failed` follows; nothing is offered to `received` before that.
    package final func startTLS(_ context: TLSServerContext) {
        precondition(tls == nil && !isConnecting, "TLS has begun already")
        guard isOpen else { return }
        let session = TLSSession(server: context.generation, workspace: worker.tls)
        tls = session
        // Inside `received` they are part of what was offered: `offer` sets it to the rest of that.
        guard !kept.isEmpty else { return }
        session.unread = kept
        kept = []
        state.remove(.offersKept)
        enqueue()
    }

    /// What the handshake agreed on; nil before its end, and without TLS.
    package final var tlsAgreement: TLSAgreement? { tls?.agreement }

    /// Set when `failed` is called with `Errno.protocolError`.
    package final var tlsFailure: TLSFailure? { tls?.failure }

    /// The server did not complete its handshake, and so read nothing, though ours was complete: it does not take our
    /// certificate. Does not look at what it may have sent before: who has seen an answer knows better.
    package final var isRefusedByServer: Bool { tls?.isRefusedByServer ?? false }

    /// The peer's TCP ended without close_notify (RFC 8446 §6.1): what came before may be cut short.
    package final var isEndTruncated: Bool {
        guard let tls else { return false }
        return state.contains(.endRead) && !tls.isEndReceived
    }

    /// Whether a handshake is still to come or going on.
    final var isHandshaking: Bool { tls.map { !$0.isEstablished } ?? false }

    /// Whether a client's handshake is still to come or going on: it waits for its turn, see `Newcomers`.
    @inline(__always)
    final var isServerHandshaking: Bool { tls.map { !$0.isEstablished && !$0.isClient } ?? false }

    final func queueHandshake() {
        guard !state.contains(.inHandshakeQueue), isOpen else { return }
        state.insert(.inHandshakeQueue)
        worker.queueHandshake(datum)
    }

    // MARK: input

    /// Decrypts what was just received, then tells and offers.
    final func receivedCiphertext(_ tls: TLSSession, _ octets: UnsafeBufferPointer<UInt8>) {
        let keptCount = kept.count
        let wasEstablished = tls.isEstablished
        let count = tls.receive(
            octets, into: worker.inputScratch + keptCount, room: worker.inputScratchBytes - keptCount,
            isLast: state.contains(.peerClosed))
        transmit(tls)
        if !wasEstablished, tls.isEstablished {
            if tls.isClient {
                connected()
            } else {
                worker.handshakeEnded(isComplete: true)
                secured()
            }
            guard isOpen else { return }
            if owesOutput { markDirty() }
        }
        if count > 0 {
            if state.contains(.readPaused) {
                kept.append(contentsOf: UnsafeBufferPointer(start: worker.inputScratch + keptCount, count: count))
            } else {
                copyKeptToScratch()
                offer(keptCount + count, keptCount: keptCount)
            }
            guard isOpen else { return }
        }
        if tls.failure != nil {
            discardInput()
            return fail(.protocolError)
        }
        if tls.isEndReceived { state.insert(.endRead) }
        if writeError != nil { markDirty() }
    }

    /// A close with input unread sends RST (RFC 1122 §4.2.2.13), which can take the alert from under the peer's eyes.
    private func discardInput() {
        for _ in 0..<worker.limits.readsPerBatch {
            guard cl_recv(descriptor, worker.tls.ciphertext, worker.limits.readBytes) > 0 else { return }
        }
    }

    /// Takes in what was received before TLS began.
    final func receiveUnread(_ tls: TLSSession) {
        let countMax = worker.limits.readBytes
        while !tls.unread.isEmpty, mayRead, isOpen, kept.count <= countMax {
            let part = Array(tls.unread.prefix(countMax))
            tls.unread.removeFirst(part.count)
            part.withUnsafeBufferPointer { receivedCiphertext(tls, $0) }
        }
    }

    /// The other side ended TCP; whether that is more than the end of the input.
    final func endedDuringHandshake() -> Bool {
        guard let tls, !tls.isEstablished else { return false }
        tls.fail(.cutOff)
        fail(.protocolError)
        return true
    }

    /// As `peekIsAlive`: what has come is read, for it may be a session ticket.
    final func peekIsAlive(_ tls: TLSSession) -> Bool {
        guard tls.isEstablished, tls.failure == nil, !tls.isEndReceived, tls.unread.isEmpty else { return false }
        guard -cl_peek(descriptor) != EAGAIN else { return true }
        // The shared scratch may be another channel's at this moment.
        let room = worker.limits.readBytes + TLSWorkspace.recordMax
        for _ in 0..<worker.limits.readsPerBatch {
            let result = cl_recv(descriptor, worker.tls.ciphertext, worker.limits.readBytes)
            if -result == EAGAIN { return true }
            if -result == EINTR { continue }
            guard result > 0 else {
                if result < 0 { writeError = Errno(result: result) }
                break
            }
            octetsRead &+= UInt64(result)
            let input = UnsafeBufferPointer(start: UnsafePointer(worker.tls.ciphertext), count: result)
            kept = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                count = tls.receive(input, into: buffer.baseAddress!, room: room)
            }
            transmit(tls)
            if !kept.isEmpty { state.insert(.offersKept) }
            guard kept.isEmpty, tls.failure == nil, !tls.isEndReceived, writeError == nil else { break }
        }
        // What was found is told at the end of the batch.
        state.insert(.readReady)
        enqueue()
        return false
    }

    // MARK: output

    /// Encrypts and sends until the kernel takes no more. Calls no override.
    final func send(_ tls: TLSSession) {
        while drain(&tls.backlog) {
            let ends = !state.isDisjoint(with: [.closesAfterFlush, .shutsDownAfterFlush])
            payloadOctetsEncrypted &+= UInt64(tls.encrypt(&output))
            if output.isEmpty, ends { tls.sendEnd() }
            if tls.failure != nil, writeError == nil {
                transmit(tls)
                if writeError == nil { writeError = .protocolError }
                output.removeAll(pool: worker.blocks)
                return
            }
            guard worker.tls.hasOutput else { return }
            transmit(tls)
            guard writeError == nil, !state.contains(.writeBlocked) else { return }
        }
    }

    /// Hands to the kernel what libssl wrote; what it does not take waits in the backlog.
    final func transmit(_ tls: TLSSession) {
        let octets = worker.tls.takeOutput()
        guard !octets.isEmpty, writeError == nil else { return }
        var sent = 0
        if tls.backlog.isEmpty, !state.contains(.writeBlocked) {
            while sent < octets.count {
                let result = cl_send(descriptor, octets.baseAddress! + sent, octets.count - sent)
                if result >= 0 {
                    octetsWritten &+= UInt64(result)
                    sent += result
                } else if -result == EAGAIN {
                    state.formUnion([.writeBlocked, .owesDrainNotice])
                    break
                } else if -result != EINTR {
                    writeError = Errno(result: result)
                    output.removeAll(pool: worker.blocks)
                    return
                }
            }
        }
        tls.backlog.append(UnsafeRawBufferPointer(rebasing: octets[sent...]), pool: worker.blocks)
    }

    /// Encrypts all output, so that its end on the wire is known.
    final func encryptAll(_ tls: TLSSession) {
        while !output.isEmpty, tls.isEstablished, tls.failure == nil {
            let count = tls.encrypt(&output)
            payloadOctetsEncrypted &+= UInt64(count)
            tls.stash()
            if count == 0 { return }
        }
    }
}
