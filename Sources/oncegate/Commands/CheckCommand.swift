import ArgumentParser
import Configuration

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration; every finding in one run, nothing is started.",
        discussion: "Exits 0 when the configuration can be used, else 1."
    )

    @OptionGroup var file: ConfigurationFileOption

    @Flag(help: "Let warnings fail, too.")
    var strict = false

    func run() throws {
        let checked = Configuration.check(path: file.path, inspection: .system)
        if !checked.diagnostics.isEmpty { Terminal.error(checked.diagnostics.report) }
        guard let configuration = checked.configuration, !(strict && checked.diagnostics.hasWarnings) else {
            throw ExitCode.failure
        }
        print("\(file.path) is valid: \(configuration.summary)")
    }
}

/// `-c FILE`, wherever a command reads the configuration.
struct ConfigurationFileOption: ParsableArguments {
    static let defaultPath = "/etc/oncegate/proxy.conf"

    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: ArgumentHelp("The configuration.", valueName: "file"),
        completion: .file(extensions: ["conf"]))
    var path = ConfigurationFileOption.defaultPath
}
