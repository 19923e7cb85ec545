import ArgumentParser
import Configuration
import Glibc
import Idempotency
import Stores
import Transport

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Show what clients send again, and what 'mode enforce' would have made of it.",
        discussion: """
            Reads what routes with 'mode observe' left in the store's directory; the proxy may be running. Nothing in \
            it tells a token or a payload.
            """
    )

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case table
        case json
        case html
    }

    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: ArgumentHelp(
            "The configuration, which says where the store is (default: \(ConfigurationFileOption.defaultPath)).",
            valueName: "file"),
        completion: .file(extensions: ["conf"]))
    var config: String?

    @Option(help: ArgumentHelp("The store's directory.", valueName: "dir"), completion: .directory)
    var path: String?

    @Option(help: ArgumentHelp("Only what was observed in this time: 30m, 24h, 7d.", valueName: "time"))
    var since: String?

    @Option(help: ArgumentHelp("Only this route, by its name in the report.", valueName: "name"))
    var route: String?

    @Option(help: "A table for the terminal, JSON, or a page with plots.")
    var format = Format.table

    @Option(
        name: [.customShort("o"), .customLong("output")], help: ArgumentHelp("Write to this file.", valueName: "file"),
        completion: .file())
    var output: String?

    func validate() throws {
        if path != nil && config != nil { throw ValidationError("--path and --config exclude each other") }
        if let since, Self.milliseconds(since) == nil {
            throw ValidationError("--since '\(since)' is no time: write 30m, 24h or 7d")
        }
    }

    func run() throws {
        let store = try directory()
        let now = Self.now()
        let start = since.flatMap(Self.milliseconds).map { now - min(now, $0) }
        let content: ObservationSegments.Content
        do throws(StoreOpenError) {
            content = try ObservationSegments.read(store: store) ?? ObservationSegments.Content()
        } catch {
            throw fail(error.description)
        }
        if let route, !content.routes.contains(where: { $0.name == route }), !content.routes.isEmpty {
            let names = content.routes.map { "'\($0.name)'" }.joined(separator: ", ")
            throw fail("no observation of route '\(route)'; there are \(names)")
        }
        let report = Report(store: store, content: content, only: route, since: start, now: now)
        let text =
            switch format {
            case .table: ReportText.text(of: report)
            case .json: ReportJSON.text(of: report)
            case .html: ReportPage.text(of: report)
            }
        guard let output else { return print(text, terminator: "") }
        do throws(FileContent.Failure) {
            try FileContent.write(text, to: output)
        } catch {
            throw fail("cannot write \(output): \(error.description)")
        }
    }

    private func directory() throws -> String {
        if let path {
            var status = stat()
            guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
                throw fail("\(path) is not a directory: give the store's, 'path' in the block 'store embedded'")
            }
            return path
        }
        let file = config ?? ConfigurationFileOption.defaultPath
        let settings: Configuration.Store
        do throws(ConfigurationError) {
            settings = try Configuration.load(path: file).configuration.store
        } catch {
            throw fail("cannot tell where the store is; give -c FILE or --path DIR\n\(error.description)")
        }
        guard case .embedded(let embedded) = settings else {
            throw fail(
                "\(file) has 'store memory', which keeps no observations; 'store embedded' does (the metrics count "
                    + "repeats with either)")
        }
        return embedded.directory
    }

    private func fail(_ text: String) -> ExitCode {
        Terminal.error("oncegate: \(text)")
        return .failure
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(max(0, time.tv_sec)) * 1000
    }

    /// Nil unless it is a number with a unit.
    private static func milliseconds(_ text: String) -> UInt64? {
        let units: [Character: UInt64] = ["s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
        guard let last = text.last, let unit = units[last], let number = UInt64(text.dropLast()), number > 0 else {
            return nil
        }
        let (product, overflows) = number.multipliedReportingOverflow(by: unit)
        return overflows ? nil : product
    }
}
