import ArgumentParser
import HTTP

struct HealthcheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "healthcheck",
        abstract: "Ask the running proxy whether it is ready; for containers and scripts.",
        discussion: "Exits 0 when it is, else 1."
    )

    @OptionGroup var admin: AdminOption

    @Flag(help: "Ask only whether it is alive.")
    var live = false

    func run() throws {
        let answer = try admin.ask(
            { client throws(AdminClient.Failure) in
                try client.ask(.get, live ? "/livez" : "/readyz")
            }, accepted: [200, 503])
        guard answer.status == 200 else {
            var reasons: [String] = []
            if case .object(let members)? = JSONReader.value(of: answer.content),
                case .array(let texts)? = members["reasons"]
            {
                reasons = texts.compactMap(\.string)
            }
            Terminal.error("oncegate: not ready" + (reasons.isEmpty ? "" : ": " + reasons.joined(separator: ", ")))
            throw ExitCode.failure
        }
        print(live ? "live" : "ready")
    }
}
