package enum JSONError: Error, Equatable { case syntax, tooDeep }
package struct JSONCanonicaliser: Sendable {
    package static let depthMax = 64
    package private(set) var output: [UInt8] = []
    package init() {}
    package mutating func canonicalise(_ input: Span<UInt8>, selection: borrowing JSONSelection) throws(JSONError) {
        throw .syntax
    }
}
extension IdentityScratch {
    mutating func takeJSON(at pointer: JSONPointer, in body: Span<UInt8>) -> TokenLookup { .absent }
}
