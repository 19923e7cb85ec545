import ArgumentParser
import Configuration
import Glibc
import HTTP

struct RecordsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "records",
        abstract: "See and resolve the records of the running proxy.",
        discussion:
            "Metadata only: no client's token, no field and no body leaves the proxy. Every decision is in its log.",
        subcommands: [List.self, Show.self, Release.self, Forget.self, Resolve.self]
    )

    enum StateName: String, ExpressibleByArgument, CaseIterable {
        case inFlight = "in_flight"
        case completed
        case tombstone
        case unknown
    }

    /// A whole number with its unit.
    struct Age: ExpressibleByArgument, Equatable {
        let milliseconds: UInt64

        private static let units: [(suffix: String, milliseconds: UInt64)] = [
            ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
        ]

        init?(argument: String) {
            guard let unit = Age.units.first(where: { argument.hasSuffix($0.suffix) }),
                let number = UInt64(argument.dropLast(unit.suffix.count))
            else { return nil }
            let (product, overflows) = number.multipliedReportingOverflow(by: unit.milliseconds)
            guard !overflows else { return nil }
            milliseconds = product
        }
    }

    /// What is asked of one record.
    struct KeyArgument: ParsableArguments {
        @Argument(help: "The record's key, as 'records list' shows it: 64 hexadecimal digits.")
        var key: String

        func validate() throws {
            guard key.utf8.count == 64, key.utf8.allSatisfy({ isxdigit(Int32($0)) != 0 }) else {
                throw ValidationError("a key is 64 hexadecimal digits")
            }
        }
    }

    // MARK: Looking

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List records, oldest first.",
            discussion:
                "Records in the state 'unknown' wait for an operator: see 'records resolve' and 'records release'.")

        /// What the admin API gives at most.
        static let countMax = 10_000

        @OptionGroup var admin: AdminOption

        @Option(help: "Only records in this state.")
        var state: StateName?

        @Option(help: ArgumentHelp("Only records of this route, as its name stands in the list.", valueName: "name"))
        var route: String?

        @Option(
            help: ArgumentHelp(
                "Only records that were claimed this long ago or earlier: 90s, 15m, 2h, 1d.",
                valueName: "duration"))
        var olderThan: Age?

        @Option(help: ArgumentHelp("At most this many, 1 to 10000.", valueName: "count"))
        var limit = 1000

        @Flag(help: "As the admin API gives it.")
        var json = false

        func validate() throws {
            guard (1...List.countMax).contains(limit) else {
                throw ValidationError("--limit must be 1 to \(List.countMax)")
            }
            if let route, !List.canStandInQuery(route), json {
                throw ValidationError("--json cannot be combined with --route '\(route)': filter the list instead")
            }
        }

        func run() throws {
            var parameters: [String] = []
            if let state { parameters.append("state=\(state.rawValue)") }
            if let olderThan { parameters.append("older_than_ms=\(olderThan.milliseconds)") }
            var filtersHere = false
            if let route {
                // The admin API takes a query as it stands; a name that cannot stand there is looked for in the whole
                // list.
                filtersHere = !List.canStandInQuery(route)
                if !filtersHere { parameters.append("route=\(route)") }
            }
            parameters.append("limit=\(filtersHere ? List.countMax : limit)")
            let target = "/records?" + parameters.joined(separator: "&")
            let answer = try admin.ask { client throws(AdminClient.Failure) in try client.ask(.get, target) }
            if json { return print(answer.text, terminator: "") }
            guard case .array(let values)? = JSONReader.value(of: answer.content) else {
                throw RecordsCommand.notUnderstood()
            }
            var lines = values.compactMap { RecordLine($0) }
            guard lines.count == values.count else { throw RecordsCommand.notUnderstood() }
            if filtersHere { lines = Array(lines.filter { $0.route == route }.prefix(limit)) }
            print(lines.isEmpty ? "no records\n" : RecordLine.table(lines), terminator: "")
        }

        private static func canStandInQuery(_ name: String) -> Bool {
            name.utf8.allSatisfy { octet in
                isalnum(Int32(octet)) != 0 || "-._~/:@!$'()*,;[]".utf8.contains(octet)
            }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one record.")

        @OptionGroup var admin: AdminOption
        @OptionGroup var record: KeyArgument

        @Flag(help: "As the admin API gives it.")
        var json = false

        func run() throws {
            let answer = try admin.ask { client throws(AdminClient.Failure) in
                try client.ask(.get, "/records/\(record.key)")
            }
            if json { return print(answer.text, terminator: "") }
            guard let line = JSONReader.value(of: answer.content).flatMap({ RecordLine($0) }) else {
                throw RecordsCommand.notUnderstood()
            }
            print(line.description, terminator: "")
        }
    }

    // MARK: Deciding

    struct Release: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say that the service did not execute an unknown request: the next attempt runs.")

        @OptionGroup var admin: AdminOption
        @OptionGroup var record: KeyArgument

        func run() throws {
            try RecordsCommand.decide(admin, "/records/\(record.key)/release")
            print("released: the next attempt with this key runs")
        }
    }

    struct Forget: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Remove a record that is not in flight: the next attempt runs, whatever became of the earlier one.")

        @OptionGroup var admin: AdminOption
        @OptionGroup var record: KeyArgument

        func run() throws {
            try RecordsCommand.decide(admin, "/records/\(record.key)/forget")
            print("forgotten: the next attempt with this key runs")
        }
    }

    struct Resolve: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give an unknown record the answer that every later attempt gets.")

        /// What the admin listener takes at most.
        static let bodyBytesMax = 16 << 20

        @OptionGroup var admin: AdminOption
        @OptionGroup var record: KeyArgument

        @Option(help: ArgumentHelp("The answer's status, 200 to 599.", valueName: "code"))
        var status: Int

        @Option(help: ArgumentHelp("A field of the answer; can be repeated.", valueName: "Name: value"))
        var field: [String] = []

        @Option(help: ArgumentHelp("The answer's body.", valueName: "text"))
        var body: String?

        @Option(
            help: ArgumentHelp("A file with the answer's body; '-' = standard input.", valueName: "file"),
            completion: .file())
        var bodyFile: String?

        func validate() throws {
            guard (200...599).contains(status) else { throw ValidationError("--status must be 200 to 599") }
            if body != nil && bodyFile != nil { throw ValidationError("--body and --body-file exclude each other") }
            for line in field where Resolve.fieldLine(line) == nil {
                throw ValidationError("--field must be 'Name: value', without control characters")
            }
            for line in field where Resolve.isFraming(line) {
                throw ValidationError("--field must not give Content-Length or Transfer-Encoding: the proxy sets them")
            }
        }

        func run() throws {
            var fields: [UInt8] = []
            HTTP1Serialiser.field("Answer-Status", UInt64(status), to: &fields)
            for line in field { fields += Resolve.fieldLine(line) ?? [] }
            let content = try readBody()
            guard content.count <= Resolve.bodyBytesMax else {
                Terminal.error("oncegate: the body is larger than \(Resolve.bodyBytesMax >> 20) MiB")
                throw ExitCode.failure
            }
            try RecordsCommand.decide(admin, "/records/\(record.key)/resolve", fields: fields, body: content)
            print("resolved: every attempt with this key gets this answer")
        }

        private func readBody() throws -> [UInt8] {
            guard let bodyFile else { return Array((body ?? "").utf8) }
            do throws(FileContent.Failure) {
                return try FileContent.read(bodyFile, bytesMax: Resolve.bodyBytesMax)
            } catch {
                Terminal.error("oncegate: cannot read \(bodyFile): \(error.description)")
                throw ExitCode.failure
            }
        }

        /// The request field that carries `Name: value`; nil when that is no field.
        private static func fieldLine(_ text: String) -> [UInt8]? {
            guard let colon = text.firstIndex(of: ":") else { return nil }
            let name = Array(text[..<colon].utf8)
            let value = Array(text[text.index(after: colon)...].drop { $0 == " " }.utf8)
            var probe: [UInt8] = []
            guard HTTP1Serialiser.field(name: name.span, value: value.span, to: &probe) else { return nil }
            var line: [UInt8] = []
            let content = name + Array(": ".utf8) + value
            return HTTP1Serialiser.field("Answer-Field", content.span, to: &line) ? line : nil
        }

        private static func isFraming(_ text: String) -> Bool {
            let name = text.prefix { $0 != ":" }.lowercased()
            return name == "content-length" || name == "transfer-encoding"
        }
    }

    // MARK: Helpers

    fileprivate static func decide(_ admin: AdminOption, _ target: String, fields: [UInt8] = [], body: [UInt8] = [])
        throws
    {
        _ = try admin.ask { client throws(AdminClient.Failure) in
            try client.ask(.post, target, fields: fields, body: body)
        }
    }

    fileprivate static func notUnderstood() -> ExitCode {
        Terminal.error("oncegate: the admin listener's answer is not understood; is it of another version?")
        return .failure
    }
}
