internal import CLinux

extension StreamChannel {
    final var acceptsOutput: Bool {
        isOpen && writeError == nil
            && state.isDisjoint(with: [.closesAfterFlush, .shutsDownAfterFlush, .writeShutDown])
    }

    @inline(__always)
    final func write(raw octets: UnsafeRawBufferPointer) {
        guard acceptsOutput, !octets.isEmpty else { return }
        output.append(octets, pool: worker.blocks)
        markDirty()
    }

    /// Hands output to the kernel until it takes no more. Calls no override.
    final func send() {
        guard isOpen, writeError == nil, !state.contains(.connecting) else { return }
        if let tls { return send(tls) }
        _ = drain(&output)
    }

    /// Whether the kernel has taken everything of the queue.
    @inline(__always)
    final func drain(_ queue: inout OutputQueue) -> Bool {
        while !queue.isEmpty {
            let pieces = queue.gather(into: worker.pieces, max: worker.limits.piecesPerSend)
            let result =
                pieces == 1
                ? cl_send(descriptor, worker.pieces[0].iov_base, worker.pieces[0].iov_len)
                : cl_sendmsg(descriptor, worker.pieces, pieces)
            if result >= 0 {
                octetsWritten &+= UInt64(result)
                queue.removeFirst(result, pool: worker.blocks)
            } else if -result == EAGAIN {
                state.formUnion([.writeBlocked, .owesDrainNotice])
                return false
            } else if -result != EINTR {
                writeError = Errno(result: result)
                queue.removeAll(pool: worker.blocks)
                return false
            }
        }
        return true
    }

    /// Does what waited for the output: notices, shutdown, close. Called by the worker, not from within a subclass's
    /// call.
    final func settleOutput() {
        guard isOpen else { return }
        if let writeError {
            if !state.isDisjoint(with: [.readPaused, .endDelivered]) { return fail(writeError) }
            // What the peer sent before it stopped receiving is offered first.
            state.formUnion([.readReady, .peerClosed])
            return enqueue()
        }
        guard hasSentAll, !state.contains(.connecting) else { return }
        if isHandshaking {
            // What was queued waits for the end of the handshake, which nobody reads for any more.
            if state.contains(.closesAfterFlush) { close() }
            return
        }
        if state.contains(.owesDrainNotice) {
            state.remove(.owesDrainNotice)
            outputDrained()
            guard isOpen, hasSentAll else { return }
        }
        if state.contains(.closesAfterFlush) { return close() }
        if state.contains(.shutsDownAfterFlush) {
            state.remove(.shutsDownAfterFlush)
            state.insert(.writeShutDown)
            _ = cl_shutdown_write(descriptor)
        }
    }

    /// Whether the kernel has everything that it can be given.
    @inline(__always)
    final var hasSentAll: Bool {
        guard let tls else { return output.isEmpty }
        return tls.backlog.isEmpty && (output.isEmpty || !tls.isEstablished)
    }

    /// Whether there is something for `flushTurn` to do.
    final var owesOutput: Bool {
        !output.isEmpty || !state.isDisjoint(with: [.owesDrainNotice, .closesAfterFlush, .shutsDownAfterFlush])
    }

    /// Sees that `settleOutput` runs after a flush made by the subclass.
    final func markDirtyForNotice() {
        let waits: State = [.owesDrainNotice, .closesAfterFlush, .shutsDownAfterFlush]
        if writeError != nil || !state.isDisjoint(with: waits) { markDirty() }
    }
}
