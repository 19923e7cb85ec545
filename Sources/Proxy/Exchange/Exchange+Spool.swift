import HTTP
import Idempotency
import Observability
import Transport

/// Large bodies of covered requests: while they arrive they go to a spool file piece by piece, their client paused
/// while a piece is written, and from there to the service as fast as it takes them. No exchange holds more of one in
/// memory than a piece or two; the worker never waits for the disk.
extension Exchange {
    /// What one read of the client's connection may bring beyond the threshold.
    private static let readBytes = 64 << 10

    private struct Written: Sendable {
        let file: SpoolFile
        let piece: SpoolFile.Piece
        let hashed: PendingIdentity?
    }

    // MARK: From the client

    /// What is in memory of the body goes to its file, which is made for the first piece.
    func spoolBody() {
        guard let spool = context.spool else { return }
        let spooled = spooledBody(spool)
        let octets = body.memory
        guard spooled.reserve(upTo: expectedBodyBytes, bytesMax: context.limits.spoolBytesMax) else {
            context.telemetry.limitHit("spool")
            return failBody(.overloaded, "The room for large request bodies is used up.")
        }
        body.memory = []
        if !hasRequestEnded { body.memory.reserveCapacity(context.limits.spoolThresholdBytes + Exchange.readBytes) }
        let (number, offset) = spooled.beginPiece(octets.count)
        let directory = spool.directory
        let known = spooled.file
        let hashed = spooled.hashed
        let count = octets.count
        let id = self.id
        let context = self.context
        let isTaken = spool.perform(on: context.worker) {
            Exchange.write(octets, number, offset, hashed, to: known, in: directory)
        } then: { [unowned context] result in
            // Until here the octets are in memory, whether their exchange is or not.
            context.releaseBodyMemory(count)
            context.exchange(id)?.pieceWritten(result)
        }
        if isTaken {
            reservedBytes -= count
        } else {
            context.telemetry.limitHit("spool_queue")
            failBody(.overloaded, "Too many large request bodies wait for the disk.")
        }
    }

    private func spooledBody(_ spool: Spool) -> SpooledBody {
        if let known = body.spooled { return known }
        let hashed = pending.map { route?.identifier.asOctets($0) ?? $0 }
        let spooled = SpooledBody(spool, head: Array(body.memory.prefix(5)), hashed: hashed)
        body.spooled = spooled
        return spooled
    }

    /// A length that was told is counted at once: better to refuse a body at its beginning than near its end.
    private var expectedBodyBytes: Int {
        guard case .length(let length) = head.framing else { return body.count }
        return max(body.count, Int(clamping: length))
    }

    private static func write(
        _ octets: [UInt8], _ number: UInt32, _ offset: UInt64, _ hashed: PendingIdentity?, to known: SpoolFile?,
        in directory: SpoolDirectory
    ) -> Result<Written, SpoolError> {
        do throws(SpoolError) {
            let file = if let known { known } else { try directory.makeFile() }
            let piece = try file.write(octets, number: number, at: offset)
            var hashed = hashed
            hashed?.append(octets.span)
            return .success(Written(file: file, piece: piece, hashed: hashed))
        } catch {
            return .failure(error)
        }
    }

    private func pieceWritten(_ result: Result<Written, SpoolError>) {
        guard let spooled = body.spooled else { return }
        switch result {
        case .success(let written):
            spooled.endPiece(written.file, written.piece)
            spooled.hashed = written.hashed
        case .failure(let error):
            spooled.isWriting = false
            context.telemetry.spoolFailed(error)
            if !isClientDone, slicedReplay == nil { return failBody(.spoolUnavailable, nil) }
        }
        if isClientDone || slicedReplay != nil {
            downstream?.resumeReading()
            return
        }
        if hasRequestEnded { collectedBodyEnded() } else { downstream?.resumeReading() }
    }

    /// The body cannot be kept: nothing of it has gone to the service, and a claim that is held already is given back.
    private func failBody(_ problem: Problem, _ detail: StaticString?) {
        if claim != nil { return attemptFailed(.notSent(problem)) }
        refuse(problem, detail)
    }

    // MARK: The whole

    /// Gives the whole body to `use`: at once where it is in memory, else read back on a thread that may wait for the
    /// disk. `then` gets nil if the body cannot be read, or is larger than `Identifier.canonicalBodyBytesMax`, which
    /// bounds what a thread holds. The exchange may have ended by then.
    func withWholeBody<Value: Sendable>(
        _ use: @escaping @Sendable (Span<UInt8>) -> Value, then: @escaping (Value?) -> Void
    ) {
        guard let spooled = body.spooled else {
            let octets = body.memory
            let value = use(octets.span)
            return then(value)
        }
        guard let spool = context.spool, let file = spooled.file, spooled.bytes <= Identifier.canonicalBodyBytesMax
        else { return then(nil) }
        let pieces = spooled.pieces
        let count = spooled.bytes
        let context = self.context
        let isTaken = spool.perform(on: context.worker) { () -> Result<Value, SpoolError> in
            var whole: [UInt8] = []
            whole.reserveCapacity(count)
            do throws(SpoolError) {
                for piece in pieces { whole += try file.read(piece) }
            } catch {
                return .failure(error)
            }
            return .success(use(whole.span))
        } then: { [unowned context] result in
            switch result {
            case .success(let value): then(value)
            case .failure(let error):
                context.telemetry.spoolFailed(error)
                then(nil)
            }
        }
        if !isTaken {
            context.telemetry.limitHit("spool_queue")
            then(nil)
        }
    }

    /// Runs work that blocks; `then` is called with this exchange, if it has not ended by then. False when too much
    /// waits for the disk.
    private func performBlocking<Value: Sendable>(
        _ work: @escaping @Sendable () -> Value, then: @escaping (Exchange, Value) -> Void
    ) -> Bool {
        guard let spool = context.spool else { return false }
        let id = self.id
        let context = self.context
        return spool.perform(on: context.worker, work) { [unowned context] value in
            if let exchange = context.exchange(id) { then(exchange, value) }
        }
    }

    /// As `identifyBody`, for a body that is in its file or too large for its canonical form.
    func identifyLargeBody(_ route: Route, _ pending: PendingIdentity) {
        let identifier = route.identifier
        if pending.takesPieces || body.count > Identifier.canonicalBodyBytesMax {
            var hashed = body.spooled?.hashed ?? identifier.asOctets(pending)
            if body.spooled == nil { hashed.append(body.memory.span) }
            var identification = identifier.finish(hashed)
            if case .identified(var identity) = identification, !pending.takesPieces {
                identity.fellBackToOctets = true
                identification = .identified(identity)
            }
            return identified(identification)
        }
        let id = self.id
        let context = self.context
        withWholeBody { octets in
            var scratch = IdentityScratch()
            return identifier.finish(pending, body: octets, scratch: &scratch)
        } then: { [unowned context] identification in
            guard let exchange = context.exchange(id) else { return }
            guard let identification else { return exchange.refuse(.spoolUnavailable, nil) }
            exchange.identified(identification)
        }
    }

    // MARK: To the service

    /// From its beginning, on whatever connection the request goes out.
    func sendSpooledBody() {
        body.spooled?.startSending()
        upstream?.deadline = earlier(context.worker.now.adding(milliseconds: route?.timeouts.responseIdle ?? 60_000))
        continueSpooledBody()
    }

    /// The next piece, when the service has taken enough of those before.
    func continueSpooledBody() {
        guard let spooled = body.spooled, spooled.sending > 0, !spooled.isReading, sending == .streaming, let upstream
        else { return }
        guard upstream.queuedOctets < context.limits.outputHighWater else { return upstream.requestDrainNotice() }
        guard spooled.nextPiece < spooled.pieces.count else { return spooledBodySent(upstream) }
        guard let file = spooled.file else { return }
        let piece = spooled.pieces[spooled.nextPiece]
        let number = spooled.sending
        spooled.isReading = true
        let isTaken = performBlocking { () -> Result<[UInt8], SpoolError> in
            do throws(SpoolError) { return .success(try file.read(piece)) } catch { return .failure(error) }
        } then: { exchange, result in
            exchange.pieceRead(result, sending: number)
        }
        guard !isTaken else { return }
        context.telemetry.limitHit("spool_queue")
        spooledBodyLost(upstream, .overloaded)
    }

    private func pieceRead(_ result: Result<[UInt8], SpoolError>, sending number: Int) {
        guard let spooled = body.spooled, spooled.sending == number, spooled.isReading else { return }
        spooled.isReading = false
        guard sending == .streaming, let upstream else { return }
        switch result {
        case .success(let octets):
            spooled.nextPiece += 1
            // A service that stops reading ends the exchange as one that stops writing does.
            if isAnswerAwaited, !hasAnswerHead {
                upstream.deadline = earlier(
                    context.worker.now.adding(milliseconds: route?.timeouts.responseIdle ?? 60_000))
            }
            upstream.sendBody(shared: octets)
            continueSpooledBody()
        case .failure(let error):
            context.telemetry.spoolFailed(error)
            spooledBodyLost(upstream, .spoolUnavailable)
        }
    }

    private func spooledBodySent(_ upstream: Upstream) {
        if isCovered { return endForwarding() }
        // It was collected before it was known that the request passes through: what comes from here on follows it.
        closeSpooledBody()
        if !body.memory.isEmpty { upstream.sendBody(shared: body.memory) }
        body.memory = []
        unreserve(reservedBytes)
        if hasRequestEnded {
            endForwarding()
        } else {
            upstream.deadline = .never
            downstream?.resumeReading()
        }
    }

    /// The rest of the request cannot be sent. The service has an incomplete one, if anything.
    private func spooledBodyLost(_ upstream: Upstream, _ problem: Problem) {
        let nothingSent = !upstream.hasSentAnyOctet
        self.upstream = nil
        upstream.end()
        attemptFailed(nothingSent ? .notSent(problem) : .broken)
    }

    func closeSpooledBody() {
        body.spooled?.close()
        body.spooled = nil
    }
}
