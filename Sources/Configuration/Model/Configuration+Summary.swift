extension Configuration {
    /// One line: how many of everything, and what is protected.
    package var summary: String {
        let covered = routes.count { $0.policy != nil }
        let records =
            switch store {
            case .embedded(let store): "records in \(store.directory)"
            case .memory: "records in memory"
            }
        let encrypted = listeners.count { $0.tls != nil }
        return [
            Self.count(listeners.count, "listener") + (encrypted == 0 ? "" : " (\(encrypted) with TLS)"),
            Self.count(upstreams.count, "upstream"),
            "\(Self.count(routes.count, "route")) (\(covered) with idempotency)", records,
        ].joined(separator: ", ")
    }

    private static func count(_ number: Int, _ noun: String) -> String {
        "\(number) \(noun)\(number == 1 ? "" : "s")"
    }
}
