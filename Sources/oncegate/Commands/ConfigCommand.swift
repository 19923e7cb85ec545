import ArgumentParser
import Configuration

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Show a configuration, or what can stand in one.",
        subcommands: [DumpCommand.self, SchemaCommand.self, ReferenceCommand.self, ExampleCommand.self]
    )

    struct DumpCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "dump",
            abstract: "Print all settings, defaults included and secrets masked."
        )

        @OptionGroup var file: ConfigurationFileOption

        @Flag(help: "As JSON, which is the only form.")
        var json = false

        func run() throws {
            let checked = Configuration.check(path: file.path)
            guard checked.configuration != nil else {
                Terminal.error(checked.diagnostics.report)
                throw ExitCode.failure
            }
            print(checked.json, terminator: "")
        }
    }

    struct SchemaCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "schema", abstract: "Print the JSON Schema of the dump.")

        func run() {
            print(Schema.text, terminator: "")
        }
    }

    struct ReferenceCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "reference", abstract: "Print the reference of all directives, as Markdown.")

        func run() {
            print(Reference.text, terminator: "")
        }
    }

    struct ExampleCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "example", abstract: "Print a commented configuration with every directive.")

        func run() {
            print(Example.text, terminator: "")
        }
    }
}
