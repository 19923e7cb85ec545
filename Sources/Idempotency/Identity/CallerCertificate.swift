/// What the verified certificate of a client says about who it is. Made once per connection.
package struct CallerCertificate: Sendable, Equatable {
    /// As RFC 2253 writes it; empty if it has none.
    package let subject: [UInt8]
    /// `DNS:…`, `URI:…`, `email:…`, `IP:…`, sorted, each once: a renewed certificate may list them in another order.
    package let alternativeNames: [[UInt8]]
    /// The subject, if there is one.
    let subjects: [[UInt8]]

    package init(subject: [UInt8], alternativeNames: [[UInt8]]) {
        self.subject = subject
        subjects = subject.isEmpty ? [] : [subject]
        var names: [[UInt8]] = []
        for name in alternativeNames.sorted(by: { $0.lexicographicallyPrecedes($1) }) where name != names.last {
            names.append(name)
        }
        self.alternativeNames = names
    }

    var hasName: Bool { !subject.isEmpty || !alternativeNames.isEmpty }
}
