import HTTP
import Transport

/// An operator's connection: one request, one answer, and the end.
final class AdminConnection: StreamChannel {
    private static let bodyBytesMax = 16 << 20
    private static let timeoutMilliseconds: UInt64 = 30_000

    let context: WorkerContext
    private let handler: AdminHandler
    private var parser = RequestParser()
    private var decoder = BodyDecoder(framing: .none)
    private var head = RequestHead()
    private var body: [UInt8] = []
    private var hasHead = false
    private var isAnswered = false
    /// Keeps the connection alive while the worker serves it: nobody else holds it between accept and the first event.
    private var keepsItself: AdminConnection?

    init(context: WorkerContext, handler: AdminHandler) {
        self.context = context
        self.handler = handler
        super.init(worker: context.worker)
    }

    func serve(_ descriptor: Int32, _ peer: SocketAddress) {
        guard (try? adopt(descriptor: descriptor, peer: peer)) != nil else { return }
        keepsItself = self
        deadline = worker.now.adding(milliseconds: AdminConnection.timeoutMilliseconds)
    }

    override func closed() {
        keepsItself = nil
    }

    override func received(_ octets: Span<UInt8>) -> Int {
        guard !isAnswered else { return octets.count }
        do {
            var offset = 0
            if !hasHead {
                guard let consumed = try parser.parse(octets, into: &head) else { return 0 }
                offset = consumed
                hasHead = true
                decoder = BodyDecoder(framing: head.framing)
            }
            while !decoder.isEnd && offset < octets.count {
                switch try decoder.next(octets.extracting(offset..<octets.count)) {
                case .data(let consumed, let range):
                    body.append(octets.extracting(offset + range.lowerBound..<offset + range.upperBound))
                    offset += consumed
                case .needsMore(let consumed), .end(let consumed):
                    offset += consumed
                    if consumed == 0 { return offset }
                }
            }
            if body.count > AdminConnection.bodyBytesMax {
                answer(AdminAnswer(status: 413, text: "the content is larger than 16 MiB\n"))
            } else if decoder.isEnd {
                isAnswered = true
                handler.handle(AdminRequest(head: head, body: body), for: self)
            }
            return octets.count
        } catch {
            answer(AdminAnswer(status: error.status, text: "\(error.reason)\n"))
            return octets.count
        }
    }

    override func receivedEnd() {
        if !isAnswered { closeNow() }
    }

    override func deadlinePassed() {
        closeNow()
    }

    func answer(_ answer: AdminAnswer) {
        isAnswered = true
        var output: [UInt8] = []
        HTTP1Serialiser.statusLine(answer.status, to: &output)
        HTTP1Serialiser.field("Content-Type", answer.contentType, to: &output)
        HTTP1Serialiser.field("Cache-Control", "no-store", to: &output)
        HTTP1Serialiser.contentLength(UInt64(answer.content.count), to: &output)
        output.append(contentsOf: WireText.closeLine)
        HTTP1Serialiser.endOfHead(to: &output)
        if head.method != .head { output.append(contentsOf: answer.content) }
        write(contentsOf: output)
        closeAfterFlush()
    }
}

struct AdminRequest {
    let head: RequestHead
    let body: [UInt8]

    var path: String { String(decoding: head.fields.octets[head.path.bounds], as: UTF8.self) }

    /// The query's parameters, escapes and `+` decoded; of equal names the last.
    var parameters: [String: String] {
        var found: [String: String] = [:]
        for pair in head.fields.octets[head.query.bounds].split(separator: UInt8(ascii: "&")) {
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            found[AdminRequest.decoded(parts[0])] = parts.count > 1 ? AdminRequest.decoded(parts[1]) : ""
        }
        return found
    }

    private static func decoded(_ text: ArraySlice<UInt8>) -> String {
        var octets: [UInt8] = []
        var rest = text
        while let octet = rest.popFirst() {
            if octet == UInt8(ascii: "%"), rest.count >= 2,
                let escaped = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                octets.append(escaped)
                rest = rest.dropFirst(2)
            } else {
                octets.append(octet == UInt8(ascii: "+") ? UInt8(ascii: " ") : octet)
            }
        }
        return String(decoding: octets, as: UTF8.self)
    }

    /// The values of every line of a field.
    func values(_ name: StaticString) -> [[UInt8]] {
        head.fields.lines(named: name).map { Array(head.fields.octets[$0.value.bounds]) }
    }
}

struct AdminAnswer {
    var status: UInt16
    var contentType: StaticString
    var content: [UInt8]

    init(status: UInt16, text: String) {
        self.status = status
        contentType = "text/plain; charset=utf-8"
        content = Array(text.utf8)
    }

    init(status: UInt16 = 200, json: String) {
        self.status = status
        contentType = "application/json"
        content = Array(json.utf8)
    }

    init(metrics: [UInt8]) {
        status = 200
        contentType = "text/plain; version=0.0.4; charset=utf-8"
        content = metrics
    }
}
