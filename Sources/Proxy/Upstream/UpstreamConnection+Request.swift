import HTTP
import Transport

/// Requests as HTTP/1 messages.
extension UpstreamConnection {
    func sendHead(of exchange: Exchange, route: Route, framing: BodyFraming) {
        requestFraming = framing
        let context = pool.context
        context.scratch.removeAll(keepingCapacity: true)
        ForwardedRequest.write(
            exchange.head, route: route, client: exchange.client, serverText: pool.serverText(server),
            via: context.rules.viaLine(exchange.head.version), framing: framing, isCovered: exchange.isCovered,
            upgrades: exchange.mayUpgrade, to: &context.scratch)
        write(contentsOf: context.scratch)
    }

    func sendBody(_ octets: Span<UInt8>) {
        beginChunk(octets.count)
        write(octets)
        endChunk()
    }

    func sendBody(shared octets: [UInt8]) {
        beginChunk(octets.count)
        write(shared: octets, 0..<octets.count)
        endChunk()
    }

    private func beginChunk(_ size: Int) {
        guard case .chunked = requestFraming else { return }
        let context = pool.context
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.chunkHeader(size, to: &context.scratch)
        write(contentsOf: context.scratch)
    }

    private func endChunk() {
        if case .chunked = requestFraming { write(contentsOf: WireText.lineEnd) }
    }

    func sendEnd(trailerLines: [UInt8]) {
        guard case .chunked = requestFraming else { return }
        let context = pool.context
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.lastChunk(trailers: trailerLines, to: &context.scratch)
        write(contentsOf: context.scratch)
    }
}
