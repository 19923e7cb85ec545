import Foundation
import Testing

@testable import Configuration

@Suite struct DumpTests {
    private func dump(_ text: String) throws -> String {
        let checked = Configuration.check(Array(text.utf8), name: "p", files: .fake(environment: ["X": "3"]))
        try #require(checked.configuration != nil, "\(checked.diagnostics.report)")
        return checked.json
    }

    private let samples = [
        minimal, Example.text,
        minimal + "store memory; workers env(\"X\"); access_log off; admin off; via \"off\"; trusted_proxies ::/0;",
        minimal + "listen unix:/a { mode 600; } route = /x { upstream a; idempotency { release 500; key json /a; } }",
        "listen 127.0.0.1:1 { tls { certificate /c; key /k; client_certificate optional /a; } proxy_protocol ::/0; }"
            + "upstream a { server https://a; tls { ca /a; alpn h2; } } route / { upstream a; }",
        "listen 127.0.0.1:1; upstream a { server unix:/\"\\u{1}\\\\é\"; } route ~ ^/x { upstream a; }"
            .replacing("unix:/\"", with: "\"unix:/"),
    ]

    @Test func isJSONAndStable() throws {
        for sample in samples {
            let text = try dump(sample)
            #expect(try dump(sample) == text)
            let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            #expect(object?["listen"] is [Any])
        }
    }

    @Test func followsTheSchema() throws {
        let schema = try JSONSerialization.jsonObject(with: Data(Schema.text.utf8))
        for sample in samples {
            let object = try JSONSerialization.jsonObject(with: Data(try dump(sample).utf8))
            #expect(problems(object, schema, at: "") == [])
        }
        let broken = try JSONSerialization.jsonObject(with: Data("{\"workers\": 1, \"more\": 1}".utf8))
        #expect(!problems(broken, schema, at: "").isEmpty)
    }

    @Test func showsWhatHolds() throws {
        let text = try dump(
            "listen 127.0.0.1:1; connect_timeout 90s; upstream a { server http://a; }\n"
                + "route / { upstream a; idempotency { release 500; record 408; } }")
        #expect(text.contains("\"connect_timeout\": \"90s\""))
        #expect(text.contains("\"route_timeout\": \"2m\""))
        #expect(text.contains("\"release\": [\"401\", \"403\", \"407\", \"421\", \"425\", \"429\", \"500\", \"503\"]"))
        #expect(text.contains("\"upgrade\": \"off\""))
        #expect(text.contains("\"server\": [\"http://a:80\"]"))
        #expect(text.contains("\"value\": \"unix:/var/lib/oncegate/admin.sock\""))
    }

    /// The part of JSON Schema that `Schema` uses.
    private func problems(_ value: Any, _ schema: Any, at path: String) -> [String] {
        guard let schema = schema as? [String: Any] else { return ["\(path): no schema"] }
        if let alternatives = schema["anyOf"] as? [Any] {
            let isOne = alternatives.contains { problems(value, $0, at: path).isEmpty }
            return isOne ? [] : ["\(path): no alternative fits \(value)"]
        }
        if let values = schema["enum"] as? [String] {
            return (value as? String).map(values.contains) == true ? [] : ["\(path): \(value) is not in \(values)"]
        }
        let types = schema["type"] as? [String] ?? [schema["type"] as? String ?? ""]
        guard types.contains(type(of: value)) else { return ["\(path): \(value) is not \(types)"] }
        if let items = value as? [Any], let inner = schema["items"] {
            return items.enumerated().flatMap { problems($1, inner, at: "\(path)/\($0)") }
        }
        guard let members = value as? [String: Any], let properties = schema["properties"] as? [String: Any] else {
            return []
        }
        let missing = (schema["required"] as? [String] ?? []).filter { members[$0] == nil }.map {
            "\(path)/\($0): missing"
        }
        return missing
            + members.flatMap { name, value in
                properties[name].map { problems(value, $0, at: "\(path)/\(name)") } ?? ["\(path)/\(name): unknown"]
            }
    }

    private func type(of value: Any) -> String {
        switch value {
        case is NSNull: "null"
        case is String: "string"
        case is NSNumber: "integer"
        case is [Any]: "array"
        default: "object"
        }
    }
}
