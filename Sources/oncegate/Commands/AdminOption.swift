import ArgumentParser
import Configuration
import Transport

/// Where the admin listener of the running proxy is.
struct AdminOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The proxy's admin listener: host:port, [v6]:port or unix:/path.",
            discussion: "Without it and without -c: the admin socket of 'oncegate run --upstream'.",
            valueName: "address"))
    var admin: String?

    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: ArgumentHelp(
            "The configuration of the proxy, which says where its admin listener is.", valueName: "file"),
        completion: .file(extensions: ["conf"]))
    var config: String?

    func validate() throws {
        if admin != nil && config != nil { throw ValidationError("--admin and --config exclude each other") }
    }

    /// The answer to one request. What goes wrong is one line on standard error and the exit code 1.
    /// - Parameter accepted: statuses that are not taken for a failure.
    func ask(
        _ request: (AdminClient) throws(AdminClient.Failure) -> AdminClient.Answer, accepted: Set<UInt16> = [200]
    ) throws -> AdminClient.Answer {
        do throws(AdminClient.Failure) {
            let answer = try request(try client())
            guard accepted.contains(answer.status) else {
                let text = String(answer.text.prefix { !$0.isNewline })
                throw AdminClient.Failure(
                    description: text.isEmpty ? "the admin listener answered \(answer.status)" : text)
            }
            return answer
        } catch {
            Terminal.error("oncegate: \(error.description)")
            throw ExitCode.failure
        }
    }

    private func client() throws(AdminClient.Failure) -> AdminClient {
        if let admin { return AdminClient(text: admin, address: try AdminOption.address(admin)) }
        let configuration: Configuration
        do throws(ConfigurationError) {
            if let config {
                configuration = try Configuration.load(path: config).configuration
            } else {
                // The service is of no matter here; store and admin socket are the same for every one.
                configuration = try Configuration.forUpstream(url: "http://127.0.0.1:80")
            }
        } catch {
            throw AdminClient.Failure(description: "cannot tell where the admin listener is\n\(error.description)")
        }
        guard let endpoint = configuration.admin?.address else {
            throw AdminClient.Failure(description: "the configuration has no admin listener; add 'admin ADDRESS;'")
        }
        return AdminClient(text: endpoint.description, address: try AdminOption.address(endpoint.description))
    }

    /// A numeric address or a path as it stands, a host name by its first address.
    static func address(_ text: String) throws(AdminClient.Failure) -> SocketAddress {
        if let address = SocketAddress.parse(text) { return address }
        guard !text.hasPrefix("unix:"), let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...]),
            colon > text.startIndex, !text[..<colon].contains(where: { "[]:/".contains($0) })
        else {
            throw AdminClient.Failure(description: "'\(text)' is no address: host:port, [v6]:port or unix:/path")
        }
        switch Resolver.systemLookup(String(text[..<colon]), port) {
        case .success(let addresses): return addresses[0]
        case .failure(let error):
            throw AdminClient.Failure(description: "cannot reach the admin listener at \(text): \(error.description)")
        }
    }
}
