/// Octets that no description, reflection or log shows.
package struct Secret: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    package var octets: [UInt8]

    package init(_ octets: [UInt8]) {
        self.octets = octets
    }

    package var description: String { "********" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
