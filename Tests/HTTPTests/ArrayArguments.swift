@testable import HTTP

// `#expect` cannot take apart a call with a Span among its arguments: the same calls with arrays.

extension KnownField {
    init(_ name: [UInt8]) { self.init(named: name.span) }
}

extension HTTP1Serialiser {
    static func areFieldLines(_ text: String) -> Bool { areFieldLines(Array(text.utf8).span) }
}

extension BodyDecoder {
    mutating func next(_ text: String) throws(HTTPError) -> Step { try next(Array(text.utf8).span) }
}

extension [UInt8] {
    func firstControl() -> Int { span.firstControl(from: 0) }
}
