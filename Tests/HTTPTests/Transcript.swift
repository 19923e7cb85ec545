#if canImport(HTTP)
    @testable import HTTP
#endif

/// What a connection's octets mean to the codec. Equal for every way to split the octets.
///
/// Also compiled into the fuzzers, together with the sources of HTTP as one module.
enum Event: Equatable {
    case requestHead(octets: [UInt8], lines: [FieldLine], meaning: RequestMeaning)
    case responseHead(octets: [UInt8], lines: [FieldLine], status: UInt16, framing: BodyFraming, keepsAlive: Bool)
    case data([UInt8])
    case trailers([UInt8])
    case end
    /// The octets ended here; what is left over.
    case incomplete([UInt8])
    case error(HTTPError)
}

struct RequestMeaning: Equatable {
    var method: RequestHead.Method
    var ranges: [OctetRange]
    var hasQuery: Bool
    var form: RequestHead.TargetForm
    var version: HTTPVersion
    var framing: BodyFraming
    var flags: [Bool]

    init(_ head: RequestHead) {
        method = head.method
        ranges = [head.methodRange, head.targetRange, head.path, head.query, head.authority, head.host]
        hasQuery = head.hasQuery
        form = head.form
        version = head.version
        framing = head.framing
        flags = [head.keepsAlive, head.expectsContinue, head.wantsUpgrade, head.acceptsTrailers]
    }
}

enum Direction {
    case requests
    case responses(to: RequestHead.Method)
    case body(BodyFraming)
}

/// Reads a connection as the proxy does: unconsumed octets are offered again with what has arrived behind them.
struct Connection {
    private(set) var events: [Event] = []
    private let direction: Direction
    private var unconsumed: [UInt8] = []
    private var requestParser: RequestParser
    private var responseParser: ResponseParser
    private var requestHead = RequestHead()
    private var responseHead = ResponseHead()
    private var body: BodyDecoder?
    private var isOver = false
    private let limits: HTTP1Limits

    init(_ direction: Direction, limits: HTTP1Limits = HTTP1Limits()) {
        self.direction = direction
        self.limits = limits
        requestParser = RequestParser(limits: limits)
        responseParser = ResponseParser(limits: limits)
        if case .body(let framing) = direction { body = BodyDecoder(framing: framing, limits: limits) }
    }

    mutating func receive(_ octets: [UInt8]) {
        unconsumed += octets
        // A head on loan to others between calls must not matter.
        requestHead = RequestHead()
        responseHead = ResponseHead()
        do throws(HTTPError) {
            while !isOver, try step() {}
        } catch {
            isOver = true
            events.append(.error(error))
        }
    }

    mutating func receiveEnd() {
        guard !isOver else { return }
        isOver = true
        guard var body else {
            events.append(.incomplete(unconsumed))
            return
        }
        do throws(HTTPError) {
            try body.inputEnded()
            events.append(.end)
        } catch {
            events.append(.error(error))
        }
    }

    /// False when more octets are needed.
    private mutating func step() throws(HTTPError) -> Bool {
        guard body == nil else { return try stepBody() }
        // A copy, because a span of `unconsumed` would borrow all of self.
        let input = unconsumed
        switch direction {
        case .requests:
            guard let count = try requestParser.parse(input.span, into: &requestHead) else { return false }
            unconsumed.removeFirst(count)
            events.append(
                .requestHead(
                    octets: requestHead.fields.octets, lines: requestHead.fields.lines,
                    meaning: RequestMeaning(requestHead)))
            body = BodyDecoder(framing: requestHead.framing, limits: limits)
        case .responses(let method):
            guard let count = try responseParser.parse(input.span, requestMethod: method, into: &responseHead) else {
                return false
            }
            unconsumed.removeFirst(count)
            events.append(
                .responseHead(
                    octets: responseHead.fields.octets, lines: responseHead.fields.lines, status: responseHead.status,
                    framing: responseHead.framing, keepsAlive: responseHead.keepsAlive))
            body = BodyDecoder(framing: responseHead.framing, limits: limits)
        case .body:
            isOver = true
        }
        return true
    }

    private mutating func stepBody() throws(HTTPError) -> Bool {
        let input = unconsumed
        guard let step = try body?.next(input.span) else { return false }
        switch step {
        case .data(let consumed, let range):
            precondition(!range.isEmpty && range.upperBound == consumed && consumed <= unconsumed.count)
            appendData(unconsumed[range])
            unconsumed.removeFirst(consumed)
        case .needsMore(let consumed):
            unconsumed.removeFirst(consumed)
            return false
        case .end(let consumed):
            precondition(body?.isEnd == true)
            unconsumed.removeFirst(consumed)
            if let trailers = body?.trailers {
                var lines: [UInt8] = []
                HTTP1Serialiser.fieldLines(of: trailers, to: &lines)
                precondition(HTTP1Serialiser.areFieldLines(lines.span))
                events.append(.trailers(lines))
            }
            events.append(.end)
            body = nil
        }
        return true
    }

    private mutating func appendData(_ data: ArraySlice<UInt8>) {
        guard case .data(var pieces)? = events.last else {
            events.append(.data(Array(data)))
            return
        }
        // Out of the array first, so that appending copies nothing that is there already.
        events.removeLast()
        pieces += data
        events.append(.data(pieces))
    }
}

/// The events of `octets` arriving in pieces that end at `cuts`, then the end of the connection.
func transcript(
    _ direction: Direction, _ octets: [UInt8], cuts: [Int] = [], limits: HTTP1Limits = HTTP1Limits()
) -> [Event] {
    var connection = Connection(direction, limits: limits)
    var start = 0
    for cut in cuts where cut > start && cut < octets.count {
        connection.receive(Array(octets[start..<cut]))
        start = cut
    }
    connection.receive(Array(octets[start...]))
    connection.receiveEnd()
    return connection.events
}
