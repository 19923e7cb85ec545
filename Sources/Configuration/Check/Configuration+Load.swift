import Glibc
import Idempotency

/// A configuration that cannot be used.
package struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    package var diagnostics: [Diagnostic]

    package init(diagnostics: [Diagnostic]) {
        self.diagnostics = diagnostics
    }

    /// The whole report.
    package var description: String { diagnostics.report }
}

/// What reading a configuration gave.
package struct CheckedConfiguration: Sendable {
    /// Nil when there is an error.
    package var configuration: Configuration?
    /// Errors, warnings and notes, in the order of files and places.
    package var diagnostics: [Diagnostic]
    let top: CheckedBlock

    /// All settings, defaults included and secrets masked, as JSON that ends in a newline. Of use when there is no
    /// error.
    package var json: String { Dump.text(of: top) }
}

extension Configuration {
    /// Reads the file and all it includes.
    ///
    /// - Parameter inspection: Opens certificates and keys; nil leaves them closed.
    package static func check(
        path: String, files: ConfigurationFiles = .system, inspection: FileInspection? = nil
    ) -> CheckedConfiguration {
        switch files.read(path) {
        case .success(let octets):
            return check(octets, name: path, files: files, inspection: inspection)
        case .failure(let failure):
            var log = DiagnosticLog()
            log.error(file: path, "cannot read it: \(failure.message)")
            return CheckedConfiguration(
                configuration: nil, diagnostics: log.diagnostics, top: CheckedBlock(kind: .top))
        }
    }

    /// Reads `octets` as a file of that name.
    package static func check(
        _ octets: [UInt8], name: String, files: ConfigurationFiles = .system, inspection: FileInspection? = nil
    ) -> CheckedConfiguration {
        var checker = Checker(files: files)
        let top = checker.check(octets, name: name)
        var builder = ModelBuilder(top: top, log: checker.log, inspection: inspection)
        builder.build()
        let diagnostics = builder.log.diagnostics
        return CheckedConfiguration(
            configuration: builder.log.errorCount == 0 ? builder.configuration : nil, diagnostics: diagnostics,
            top: builder.top)
    }

    /// The configuration in a file that has no errors, and its warnings and notes.
    package static func load(
        path: String, files: ConfigurationFiles = .system, inspection: FileInspection? = nil
    ) throws(ConfigurationError) -> (configuration: Configuration, findings: [Diagnostic]) {
        let checked = check(path: path, files: files, inspection: inspection)
        guard let configuration = checked.configuration else {
            throw ConfigurationError(diagnostics: checked.diagnostics)
        }
        return (configuration, checked.diagnostics)
    }

    /// The configuration in a text that has no errors.
    package static func parse(
        text: String, name: String = "proxy.conf", files: ConfigurationFiles = .system
    ) throws(ConfigurationError) -> Configuration {
        let checked = check(Array(text.utf8), name: name, files: files)
        guard let configuration = checked.configuration else {
            throw ConfigurationError(diagnostics: checked.diagnostics)
        }
        return configuration
    }
}

extension Configuration {
    /// The run without a file: one service, every path, every method that changes something protected where it
    /// carries an `Idempotency-Key`. Errors name the option they concern.
    ///
    /// - Parameters:
    ///   - listen: By default 127.0.0.1:8080.
    ///   - admin: By default a socket in the store's directory.
    ///   - store: The directory; by default /var/lib/oncegate for root, else `oncegate` in the user's state directory.
    ///   - certificate: Makes the listener one with TLS.
    package static func forUpstream(
        url: String, listen: String? = nil, admin: String? = nil, store: String? = nil,
        certificate: Certificate? = nil,
        files: ConfigurationFiles = .system, isRoot: Bool = geteuid() == 0
    ) throws(ConfigurationError) -> Configuration {
        var problems = DiagnosticLog()
        func read(_ text: String, _ type: ValueType, option: String) -> Value? {
            do throws(ValueProblem) {
                return try ValueReader(text).read(as: type)
            } catch {
                problems.error(file: option, error.message + (error.hint.map { " (\($0))" } ?? ""))
                return nil
            }
        }
        var configuration = Configuration()
        if case .server(let server) = read(url, .serverURL, option: "--upstream") {
            var upstream = Configuration.Upstream(name: "upstream", servers: [server])
            if server.scheme == .https { upstream.tls = Configuration.Upstream.TLS() }
            configuration.upstreams = [upstream]
        }
        if case .endpoint(let address) = read(listen ?? "127.0.0.1:8080", .listenAddress, option: "--listen") {
            var listener = Listener(address: address)
            if let certificate {
                listener.tls = Listener.TLS(certificates: [
                    Certificate(
                        chainPath: files.absolute(certificate.chainPath), keyPath: files.absolute(certificate.keyPath))
                ])
            }
            configuration.listeners = [listener]
        }
        let directory = store.map(files.absolute) ?? stateDirectory(files, isRoot: isRoot)
        if case .text(let directory) = read(directory, .filePath, option: "--store") {
            var embedded = EmbeddedStore()
            embedded.directory = directory
            configuration.store = .embedded(embedded)
        }
        if let admin {
            if case .endpoint(let address) = read(admin, .listenAddress, option: "--admin") {
                configuration.admin = Listener(address: address)
                if case .unix = address { configuration.admin?.mode = 0o600 }
            }
        } else {
            configuration.admin = defaultAdmin(store: configuration.store)
            if case .unix(let path) = configuration.admin?.address,
                path.utf8.count > Configuration.Endpoint.unixPathOctetsMax
            {
                problems.error(file: "--store", "the path is too long for the admin socket in it (give --admin)")
            }
        }
        guard problems.errorCount == 0 else { throw ConfigurationError(diagnostics: problems.diagnostics) }
        var route = Configuration.Route(name: "/", match: .prefix("/"), upstream: 0)
        route.allowsUpgrade = false
        route.timeouts.routeMilliseconds = ModelBuilder.coveredRouteTimeoutMilliseconds
        route.policy = Policy()
        configuration.routes = [route]
        // At a terminal nobody waits for a load balancer to notice.
        configuration.drain.delayMilliseconds = 0
        return configuration
    }

    private static func stateDirectory(_ files: ConfigurationFiles, isRoot: Bool) -> String {
        if isRoot { return EmbeddedStore().directory }
        if let state = files.environment("XDG_STATE_HOME"), state.hasPrefix("/") { return state + "/oncegate" }
        if let home = files.environment("HOME"), home.hasPrefix("/") { return home + "/.local/state/oncegate" }
        return EmbeddedStore().directory
    }
}
