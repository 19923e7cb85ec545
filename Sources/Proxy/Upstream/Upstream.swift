import HTTP
import Transport

/// The service's side of an exchange.
typealias Upstream = Side<UpstreamConnection, UpstreamStream>

extension UpstreamConnection: MessageCarrier {}
extension UpstreamStream: MessageCarrier {
    var channel: UpstreamConnection { connection }
}

extension Upstream {
    /// Index into the pool's servers.
    var server: Int { channel.server }

    /// The connection has served an exchange before: it may have died while idle.
    var isReused: Bool {
        switch self {
        case .connection(let connection): connection.isReused
        case .stream(let stream): stream.isReused
        }
    }

    /// Whether any octet of the exchange's request may have gone to the service.
    var hasSentAnyOctet: Bool {
        switch self {
        case .connection(let connection): connection.hasSentAnyOctet
        case .stream(let stream): stream.hasSentAnyOctet
        }
    }

    // MARK: The request

    /// The head, rebuilt from the exchange's parsed values. False when the connection takes no more requests.
    func sendHead(of exchange: Exchange, route: Route, framing: BodyFraming) -> Bool {
        switch self {
        case .connection(let connection):
            connection.sendHead(of: exchange, route: route, framing: framing)
            return true
        case .stream(let stream): return stream.sendHead(of: exchange, route: route, framing: framing)
        }
    }

    // MARK: The end

    /// The exchange ends here; the connection serves others.
    func detach(requestIsComplete: Bool, hasLeftover: Bool) {
        switch self {
        case .connection(let connection):
            connection.detach(requestIsComplete: requestIsComplete, hasLeftover: hasLeftover)
        case .stream(let stream): stream.detach(requestIsComplete: requestIsComplete)
        }
    }

    /// Gives the exchange up: nothing more is read or sent for it.
    func end() {
        switch self {
        case .connection(let connection): connection.end()
        case .stream(let stream): stream.end()
        }
    }
}
