/// What a scripted upstream does with one request. Each begins when the head has arrived; all but the early ones read
/// the body first.
package struct Reply: Sendable {
    package let run: @Sendable (UpstreamExchange) throws -> Void

    /// Anything at all.
    package init(_ run: @escaping @Sendable (UpstreamExchange) throws -> Void) {
        self.run = run
    }

    /// Reads the body, then sends these octets as they are.
    package static func raw(_ octets: [UInt8], thenClose: Bool = false) -> Reply {
        Reply { exchange in
            try exchange.readBody()
            try exchange.send(octets)
            if thenClose { exchange.close() }
        }
    }

    package static func raw(_ text: String, thenClose: Bool = false) -> Reply {
        raw(octets(text), thenClose: thenClose)
    }

    /// An answer with Content-Length.
    package static func answer(_ status: Int = 201, _ fields: [Field] = [], body: [UInt8]) -> Reply {
        Reply { exchange in
            try exchange.readBody()
            // No body stands in a response to HEAD, nor framing in a 204 or 304.
            let hasBody = exchange.request.method != "HEAD" && status != 204 && status != 304
            let length = status == 204 || status == 304 ? [] : [Field("Content-Length", "\(body.count)")]
            try exchange.send(headOctets(status, fields + length) + (hasBody ? body : []))
        }
    }

    package static func answer(
        _ status: Int = 201, _ fields: [Field] = [Field("Content-Type", "application/json"), Canary.answerField],
        body: String = Canary.answerBody
    ) -> Reply {
        answer(status, fields, body: octets(body))
    }

    /// Reads the body, waits until the latch opens, then goes on.
    package static func held(_ latch: Latch, then reply: Reply = .answer()) -> Reply {
        Reply { exchange in
            try exchange.readBody()
            try latch.wait(until: .after(120))
            try reply.run(exchange)
        }
    }

    package static func chunked(
        _ status: Int = 200, _ fields: [Field] = [], _ chunks: [[UInt8]], trailers: [Field] = []
    ) -> Reply {
        raw(
            headOctets(status, fields + [Field("Transfer-Encoding", "chunked")])
                + chunkedOctets(chunks, trailers: trailers))
    }

    /// The end of the connection is the end of the body.
    package static func untilClose(_ status: Int = 200, _ fields: [Field] = [], body: [UInt8]) -> Reply {
        raw(headOctets(status, fields + [Field("Connection", "close")]) + body, thenClose: true)
    }

    /// Executes, and never answers; the connection stays open until the other side closes it.
    package static let never = Reply { exchange in
        try exchange.readBody()
        _ = try exchange.reader.some(atMost: 1, until: .after(120))
        exchange.close()
    }

    /// RST when the head has arrived; the body is not read.
    package static let resetAfterHead = Reply { $0.reset() }

    /// RST after so many octets of the body.
    package static func resetInRequest(after count: Int) -> Reply {
        Reply { exchange in
            try exchange.readBody(atMost: count)
            exchange.reset()
        }
    }

    /// Executes, then RST.
    package static let resetAfterRequest = Reply { exchange in
        try exchange.readBody()
        exchange.reset()
    }

    /// Executes, then FIN without an octet.
    package static let closeAfterRequest = Reply { exchange in
        try exchange.readBody()
        exchange.close()
    }

    /// Executes, sends these octets, then RST or FIN.
    package static func broken(_ octets: [UInt8], reset: Bool) -> Reply {
        Reply { exchange in
            try exchange.readBody()
            try exchange.send(octets)
            if reset { exchange.reset() } else { exchange.close() }
        }
    }

    /// A head and a part of the body; the rest never comes.
    package static func truncated(
        _ status: Int = 200, _ fields: [Field] = [], declared: Int, body: [UInt8], reset: Bool
    ) -> Reply {
        broken(headOctets(status, fields + [Field("Content-Length", "\(declared)")]) + body, reset: reset)
    }

    /// Interim responses, then another reply.
    package static func interim(_ heads: [(status: Int, fields: [Field])], then reply: Reply = .answer()) -> Reply {
        let octets = heads.flatMap { headOctets($0.status, $0.fields) }
        return Reply { exchange in
            try exchange.send(octets)
            try reply.run(exchange)
        }
    }

    /// `count` octets of `pattern(offset)`, written as fast as they are taken, with Content-Length.
    package static func huge(_ count: Int, piece: [UInt8], sent: Monitored<Int> = Monitored(0)) -> Reply {
        Reply { exchange in
            try exchange.readBody()
            try exchange.send(headOctets(200, [Field("Content-Length", "\(count)")]))
            var left = count
            while left > 0 {
                let part = left >= piece.count ? piece : Array(piece[..<left])
                try exchange.send(part)
                left -= part.count
                sent.with { $0 += part.count }
            }
        }
    }

    /// Server-sent events, each when its latch opens; chunked, ended after the last.
    package static func events(_ events: [(latch: Latch, data: String)]) -> Reply {
        let head = headOctets(200, [Field("Content-Type", "text/event-stream"), Field("Transfer-Encoding", "chunked")])
        return Reply { exchange in
            try exchange.readBody()
            try exchange.send(head)
            for event in events {
                try event.latch.wait(until: .after(120))
                let data = octets("data: \(event.data)\n\n")
                try exchange.send(octets(String(data.count, radix: 16) + "\r\n") + data + [13, 10])
            }
            try exchange.send("0\r\n\r\n")
        }
    }

    /// 101, then every octet comes back until the other side ends.
    package static func upgrade(to name: String, first: [UInt8] = []) -> Reply {
        let head = headOctets(101, [Field("Connection", "Upgrade"), Field("Upgrade", name)])
        return Reply { exchange in
            try exchange.readBody()
            try exchange.send(head + first)
            while true {
                let octets = try exchange.reader.some(atMost: 65536, until: .after(120))
                if octets.isEmpty { break }
                try exchange.send(octets)
            }
            exchange.close()
        }
    }
}

/// A status line with the fields and the empty line.
package func headOctets(_ status: Int, _ fields: [Field], reason: String = "Scripted") -> [UInt8] {
    octets("HTTP/1.1 \(status) \(reason)\r\n" + fields.map { "\($0)\r\n" }.joined() + "\r\n")
}
