import Foundation

/// Octets from one address to another with TLS on one side or both: before a `ScriptedUpstream` it makes that one an
/// HTTPS service, and before the proxy it lets a `RawClient` speak TLS.
package final class TLSRelay: Sendable {
    private struct State {
        var agreements: [Peer.Message.Agreement] = []
        var accepted = 0
        var failures: [String] = []
    }

    package let address: Address
    private let peer: Peer
    private let handle: Int
    private let state = Monitored(State())

    package struct Manners: Sendable {
        /// The end is a FIN without close_notify.
        package var truncates = false
        /// Octets before the handshake, in the clear.
        package var greeting: [UInt8] = []
        /// Accepts, and says nothing at all.
        package var isSilent = false

        package init() {}

        package static let polite = Manners()
        package static let truncating = make { $0.truncates = true }
        package static let silent = make { $0.isSilent = true }

        package static func greeting(_ octets: [UInt8]) -> Manners { make { $0.greeting = octets } }

        private static func make(_ change: (inout Manners) -> Void) -> Manners {
            var manners = Manners()
            change(&manners)
            return manners
        }
    }

    /// Takes TLS and speaks in the clear to `address`.
    package convenience init(
        inFrontOf address: Address, _ tls: TLSSettings, manners: Manners = .polite
    ) throws {
        try self.init(to: address, listening: tls, connecting: nil, manners: manners)
    }

    /// Takes octets in the clear and speaks TLS to `address`.
    package convenience init(to address: Address, _ tls: TLSSettings) throws {
        try self.init(to: address, listening: nil, connecting: tls, manners: .polite)
    }

    private init(to target: Address, listening: TLSSettings?, connecting: TLSSettings?, manners: Manners) throws {
        peer = try Peer.current()
        var command = Peer.Command("relay.make")
        switch target {
        case .unix(let path): command.path = path
        case .ipv4(let port), .ipv6(let port): command.port = port
        }
        command.listen = listening
        command.connect = connecting
        command.truncates = manners.truncates
        command.silent = manners.isSilent
        command.greeting = Data(manners.greeting).base64EncodedString()
        let answer = try peer.run(command)
        handle = answer.handle ?? 0
        address = .ipv4(port: answer.port ?? 0)
        peer.listen(to: handle) { [state] message in
            state.with { state in
                switch message.event {
                case "accepted": state.accepted += 1
                case "connection": state.agreements.append(message.agreement ?? Peer.Message.Agreement())
                case "failed": state.failures.append(message.error ?? "")
                default: break
                }
            }
        }
    }

    /// As proxy.conf writes the HTTPS service.
    package var serverURL: String { "https://\(address)" }

    /// One for each handshake that came to its end.
    package var agreements: [Peer.Message.Agreement] { current { $0.agreements } }
    package var acceptedCount: Int { current { $0.accepted } }
    /// Handshakes that did not.
    package var failures: [String] { current { $0.failures } }

    /// With what the process has said so far.
    private func current<Result>(_ read: (State) -> Result) -> Result {
        _ = try? peer.run(Peer.Command("sync"))
        return state.with { read($0) }
    }

    package func waitForAccepted(_ count: Int, until deadline: Deadline = .standard) throws {
        try state.wait("\(count) connections", until: deadline) { $0.accepted >= count ? true : nil }
    }

    package func waitForFailures(_ count: Int, until deadline: Deadline = .standard) throws {
        try state.wait("\(count) failures", until: deadline) { $0.failures.count >= count ? true : nil }
    }
}
