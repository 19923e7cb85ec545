import ArgumentParser
import Configuration
import Dispatch
import Glibc
import Proxy
import Transport

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the proxy.",
        discussion: """
            With -c FILE by that configuration; with --upstream URL without a file: every method that is not \
            safe and carries an Idempotency-Key is covered, with the defaults.
            """
    )

    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: ArgumentHelp("The configuration.", valueName: "file"), completion: .file(extensions: ["conf"]))
    var config: String?

    @Option(help: ArgumentHelp("The service, when there is no configuration.", valueName: "url"))
    var upstream: String?

    @Option(
        help: ArgumentHelp("Where clients connect, with --upstream (default: 127.0.0.1:8080).", valueName: "address"))
    var listen: String?

    @Option(
        help: ArgumentHelp("The certificate and its chain, PEM: clients connect with TLS.", valueName: "file"),
        completion: .file())
    var tlsCertificate: String?

    @Option(help: ArgumentHelp("Its private key, PEM.", valueName: "file"), completion: .file())
    var tlsKey: String?

    @Option(help: ArgumentHelp("Where operators connect, with --upstream.", valueName: "address"))
    var admin: String?

    @Option(
        help: ArgumentHelp("The directory of the records, with --upstream.", valueName: "dir"), completion: .directory)
    var store: String?

    func validate() throws {
        if upstream != nil && config != nil { throw ValidationError("--upstream and --config exclude each other") }
        if upstream == nil, [listen, admin, store, tlsCertificate, tlsKey].contains(where: { $0 != nil }) {
            throw ValidationError(
                "--listen, --admin, --store, --tls-certificate and --tls-key need --upstream")
        }
        if (tlsCertificate == nil) != (tlsKey == nil) {
            throw ValidationError("--tls-certificate and --tls-key need each other")
        }
    }

    func run() throws {
        let configuration = try readConfiguration()
        // A limit on file sizes is to the store what a full disk is: an error to answer, not the end.
        signal(SIGXFSZ, SIG_IGN)
        let assembly: Assembly
        do throws(StartError) {
            assembly = try Assembly(configuration, inherited: ServiceManager.inheritedDescriptors())
        } catch {
            Terminal.error("oncegate: \(error.description)")
            throw ExitCode.failure
        }
        let file = upstream == nil ? config ?? ConfigurationFileOption.defaultPath : nil
        Lifecycle(assembly, configurationPath: file).run()
    }

    private func readConfiguration() throws -> Configuration {
        do throws(ConfigurationError) {
            if let upstream {
                var certificate: Configuration.Certificate?
                if let tlsCertificate, let tlsKey {
                    certificate = Configuration.Certificate(chainPath: tlsCertificate, keyPath: tlsKey)
                }
                return try Configuration.forUpstream(
                    url: upstream, listen: listen, admin: admin, store: store, certificate: certificate)
            }
            let (configuration, findings) = try Configuration.load(
                path: config ?? ConfigurationFileOption.defaultPath, inspection: .system)
            if !findings.isEmpty { Terminal.error(findings.report) }
            return configuration
        } catch {
            Terminal.error(error.description)
            throw ExitCode.failure
        }
    }
}
