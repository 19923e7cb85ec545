import Testing

@testable import Configuration

struct Golden: Sendable, CustomTestStringConvertible {
    var name: String
    var text: String
    /// The report, to the letter.
    var report: String

    init(_ name: String, _ text: String, _ report: String) {
        self.name = name
        self.text = text
        self.report = report
    }

    var testDescription: String { name }

    static let all = part1 + part2 + protocols + payloads + outcomes
}

extension ConfigurationFiles {
    /// Files and variables that exist in the test only; names are the keys as they are, patterns match by their prefix.
    static func fake(_ files: [String: String] = [:], environment: [String: String] = [:]) -> ConfigurationFiles {
        ConfigurationFiles(
            read: { path in
                files[path].map { .success(Array($0.utf8)) } ?? .failure(Failure(message: "No such file or directory"))
            },
            matches: { pattern in
                files.keys.filter { $0.hasPrefix(pattern.prefix { $0 != "*" }) }.sorted()
            },
            environment: { environment[$0] })
    }
}

/// 32 octets, 0 to 31.
let sealingKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

/// The least that is valid.
let minimal = "listen 127.0.0.1:8080;\nupstream a { server http://a; }\nroute / { upstream a; }\n"
