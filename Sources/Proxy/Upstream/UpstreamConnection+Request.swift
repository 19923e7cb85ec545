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
        guard case .chunked = requestFraming else {
            write(octets)
            return
        }
        let context = pool.context
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.chunkHeader(octets.count, to: &context.scratch)
        write(contentsOf: context.scratch)
        write(octets)
        write(contentsOf: WireText.lineEnd)
    }

    func sendEnd(trailerLines: [UInt8]) {
        guard case .chunked = requestFraming else { return }
        let context = pool.context
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.lastChunk(trailers: trailerLines, to: &context.scratch)
        write(contentsOf: context.scratch)
    }
}
