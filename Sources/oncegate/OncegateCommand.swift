import ArgumentParser

@main
struct OncegateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "oncegate",
        abstract: "A reverse proxy that gives idempotency to HTTP services that do not have it.",
        version: Version.oncegate,
        subcommands: [
            RunCommand.self,
            CheckCommand.self,
            FormatCommand.self,
            ConfigCommand.self,
            RecordsCommand.self,
            ReportCommand.self,
            HealthcheckCommand.self,
            VersionCommand.self,
        ]
    )
}
