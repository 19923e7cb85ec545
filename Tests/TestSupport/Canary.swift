import Foundation

/// Marks that requests and answers of all tests carry, in what only client and service may know. Whatever a proxy
/// writes or tells an operator is searched for them when its test ends (`LeakSearch`).
package enum Canary {
    /// In every idempotency key, in a cookie, in a credential, and in the standard body of a request.
    package static let request = "canary-of-a-request-9f3ac1"
    /// In the standard answer's body and in one of its fields.
    package static let answer = "canary-of-an-answer-51c7e8"

    package static let requestBody = #"{"amount":100,"card":"\#(request)"}"#
    package static let answerBody = #"{"id":"ord_1","secret":"\#(answer)"}"#
    package static let answerField = Field("X-Secret", answer)

    private static let cookie = Field("Cookie", "canary=\(request)")
    private static let credential = Field("X-Api-Key", request)

    /// The fields as they go out. A key that is well-formed keeps its form and its identity.
    static func marked(_ fields: [Field]) -> [Field] {
        var fields = fields.map { field in
            isKey(field) ? Field(field.name, marked(key: field.value)) : field
        }
        if fields[all: "Cookie"].isEmpty { fields.append(cookie) }
        if fields[all: "X-Api-Key"].isEmpty { fields.append(credential) }
        return fields
    }

    /// The fields as the test wrote them, at the service.
    static func unmarked(_ fields: [Field]) -> [Field] {
        fields.filter { field in
            ![cookie, credential].contains {
                $0.name.lowercased() == field.name.lowercased() && $0.value == field.value
            }
        }.map { Field($0.name, $0.value.replacingOccurrences(of: ".\(request)", with: "")) }
    }

    /// A key as it goes out, for octets that a test writes itself.
    package static func marked(key: String) -> String {
        let bare = key.trimmingCharacters(in: .whitespaces)
        let isQuoted = bare.count > 2 && bare.hasPrefix("\"") && bare.hasSuffix("\"")
        let token = isQuoted ? bare.dropFirst().dropLast() : bare[...]
        guard (1...128).contains(token.count), !token.hasSuffix(request),
            token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C && $0 != 0x2C })
        else { return key }
        let marked = "\(token).\(request)"
        return key.replacingOccurrences(of: bare, with: isQuoted ? "\"\(marked)\"" : marked)
    }

    private static func isKey(_ field: Field) -> Bool { field.name.lowercased() == "idempotency-key" }
}

/// The search through everything that one proxy wrote or tells an operator.
package struct LeakSearch {
    let process: Subprocess
    let directory: String
    let environment: [String: String]

    package init(process: Subprocess, directory: String, environment: [String: String]) {
        self.process = process
        self.directory = directory
        self.environment = environment
    }

    /// What of all that must stay between client and service, or with the operator, stands in standard output and
    /// error, access logs, metrics and lists.
    package func run() -> [String] {
        var texts = [
            ("standard error", process.standardError), ("standard output", process.standardOutput),
        ]
        for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] where name.contains(".log")
        {
            let data = FileManager.default.contents(atPath: "\(directory)/\(name)") ?? Data()
            texts.append((name, String(decoding: data, as: UTF8.self)))
        }
        if process.isRunning {
            for target in ["/metrics", "/records", "/status"] {
                guard let client = try? RawClient(.unix("\(directory)/admin.sock")),
                    let answer = try? client.exchange(
                        .get(target, [Field("Connection", "close")]), until: .after(2))
                else { continue }
                texts.append(("admin \(target)", answer.text))
            }
        }
        let secrets = [Canary.request, Canary.answer] + configuredSecrets
        return texts.flatMap { place, text in
            secrets.filter { text.contains($0) }.map { "'\($0)' in \(place): \(Self.line(of: $0, in: text))" }
        }
    }

    private static func line(of secret: String, in text: String) -> Substring {
        text.split(separator: "\n").first { $0.contains(secret) }?.prefix(400) ?? ""
    }

    /// What stands in files and variables that the configuration takes keys from: key rings, private keys.
    private var configuredSecrets: [String] {
        guard let text = try? String(contentsOfFile: "\(directory)/proxy.conf", encoding: .utf8) else { return [] }
        var secrets: [String] = []
        for match in text.matches(of: /\bkey\s+(?:[A-Za-z0-9]+\s+)?(?:file\(")?"?(\/[^\s";)]+)/) {
            let content = (try? String(contentsOfFile: String(match.1), encoding: .utf8)) ?? ""
            secrets += content.split(whereSeparator: \.isNewline).map(String.init)
        }
        for match in text.matches(of: /env\("([^"]+)"\)/) { secrets.append(environment[String(match.1)] ?? "") }
        return secrets.filter { $0.count >= 24 && !$0.hasPrefix("-----") }
    }
}
