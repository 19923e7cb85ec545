extension FieldSection {
    /// Marks as dropped what belongs to one connection only (RFC 9110 §7.6.1): Connection and the fields it names,
    /// Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade, HTTP2-Settings, Proxy-Authenticate,
    /// Proxy-Authorization, and Trailer unless the trailers are forwarded.
    ///
    /// Throws when Connection names a field that framing, routing, authentication or idempotency rest on, or one of
    /// `protecting` (names in any case): such a request is an attack, not a wish. Allocates nothing.
    package mutating func markHopByHop(protecting: [[UInt8]] = [], keepsTrailer: Bool = false) throws(HTTPError) {
        if present & Self.hopByHopBits != 0 {
            for index in lines.indices where lines[index].known.bit & Self.hopByHopBits != 0 {
                lines[index].isDropped = true
            }
        }
        if !keepsTrailer { drop(.trailer) }
        guard contains(.connection) else { return }
        // Indices, because dropping lines changes the array; `connectionOptions` has bounded the number of options.
        for index in lines.indices where lines[index].known == .connection {
            var elements = ListElements(lines[index].value.bounds)
            while let option = elements.next(in: octets.span) { try dropOption(option, protecting: protecting) }
        }
    }

    private static var hopByHopBits: UInt64 {
        KnownField.connection.bit | KnownField.keepAlive.bit | KnownField.proxyConnection.bit | KnownField.te.bit
            | KnownField.transferEncoding.bit | KnownField.upgrade.bit | KnownField.http2Settings.bit
            | KnownField.proxyAuthenticate.bit | KnownField.proxyAuthorization.bit
    }

    /// Drops the lines that one Connection option names.
    private mutating func dropOption(_ option: Range<Int>, protecting: [[UInt8]]) throws(HTTPError) {
        let known = KnownField(named: octets.span.extracting(option))
        guard !known.isProtectedFromConnection else { throw .protectedFieldInConnection }
        for name in protecting where octets.span.extracting(option).equalsIgnoringCase(name.span) {
            throw .protectedFieldInConnection
        }
        if known != .other {
            // RFC 9110 §6.6.2: whether Trailer goes on is decided by whether the trailers do.
            if known != .trailer { drop(known) }
            return
        }
        var start = 0
        while let index = firstIndex(named: octets.span.extracting(option), from: start) {
            lines[index].isDropped = true
            start = index + 1
        }
    }
}
