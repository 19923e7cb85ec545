@testable import Idempotency

/// The canonical form of documents as tests write them.
enum XMLForm {
    static func tokens(
        _ octets: [UInt8], soap: Bool = false, charset: XMLEncoding.Charset = .absent, include: [String] = [],
        exclude: [String] = [], namespaces: [XMLNamespace] = []
    ) throws -> [UInt8] {
        var selection = XMLSelection()
        selection.isSOAP = soap
        selection.include = try include.map { try XPath($0, namespaces: namespaces, use: .selection) }
        selection.exclude = try exclude.map { try XPath($0, namespaces: namespaces, use: .selection) }
        var canonicaliser = XMLCanonicaliser()
        try canonicaliser.canonicalise(octets.span, charset: charset, selection: selection)
        return canonicaliser.output
    }

    static func tokens(
        _ text: String, soap: Bool = false, include: [String] = [], exclude: [String] = [],
        namespaces: [XMLNamespace] = []
    ) throws -> [UInt8] {
        try tokens(Array(text.utf8), soap: soap, include: include, exclude: exclude, namespaces: namespaces)
    }

    static func error(_ octets: [UInt8], soap: Bool = false, charset: XMLEncoding.Charset = .absent) -> XMLError? {
        do {
            _ = try tokens(octets, soap: soap, charset: charset)
            return nil
        } catch {
            return error as? XMLError
        }
    }

    static func error(_ text: String, soap: Bool = false) -> XMLError? { error(Array(text.utf8), soap: soap) }

    static func utf16(_ text: String, isBigEndian: Bool, mark: Bool = true) -> [UInt8] {
        ((mark ? [0xFEFF] : []) + Array(text.utf16)).flatMap { unit -> [UInt8] in
            let high = UInt8(unit >> 8)
            let low = UInt8(unit & 0xFF)
            return isBigEndian ? [high, low] : [low, high]
        }
    }
}
