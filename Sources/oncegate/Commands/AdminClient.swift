import Glibc
import HTTP
import Transport

/// Asks the admin listener of a running proxy one thing: one connection, one request, one answer. Blocks, for at most
/// ten seconds.
struct AdminClient {
    struct Answer {
        var status: UInt16
        var content: [UInt8]

        var text: String { String(decoding: content, as: UTF8.self) }
    }

    /// One line for the operator, without the program's name.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private static let timeoutMilliseconds: UInt64 = 10_000
    private static let contentBytesMax = 64 << 20

    /// As the operator wrote it.
    let text: String
    let address: SocketAddress

    /// - Parameters:
    ///   - target: path and query; visible ASCII.
    ///   - fields: whole lines, each with its CRLF.
    func ask(_ method: RequestHead.Method, _ target: String, fields: [UInt8] = [], body: [UInt8] = []) throws(Failure)
        -> Answer
    {
        let deadline = Instant.current().adding(milliseconds: AdminClient.timeoutMilliseconds)
        let descriptor = try connect()
        defer { close(descriptor) }
        try send(request(method, target, fields, body), on: descriptor, until: deadline)
        return try receive(on: descriptor, method, until: deadline)
    }

    private func request(_ method: RequestHead.Method, _ target: String, _ fields: [UInt8], _ body: [UInt8]) -> [UInt8]
    {
        var octets: [UInt8] = []
        let name = Array((method == .post ? "POST" : "GET").utf8)
        HTTP1Serialiser.requestLine(method: name.span, target: Array(target.utf8).span, to: &octets)
        HTTP1Serialiser.field("Host", "oncegate-admin", to: &octets)
        HTTP1Serialiser.field("Connection", "close", to: &octets)
        octets += fields
        if method == .post { HTTP1Serialiser.contentLength(UInt64(body.count), to: &octets) }
        HTTP1Serialiser.endOfHead(to: &octets)
        return octets + body
    }

    // MARK: Socket

    private func connect() throws(Failure) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, type, 0)
        guard descriptor >= 0 else { throw unreachable(errno) }
        // Linux bounds connect by the time limit for sending, too.
        setTimeout(SO_SNDTIMEO, AdminClient.timeoutMilliseconds, of: descriptor)
        let result = address.withSocketAddress { pointer, length in
            UnsafeRawPointer(pointer).withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, length)
            }
        }
        guard result == 0 else {
            let number = errno
            close(descriptor)
            throw unreachable(number == EINPROGRESS || number == EAGAIN ? ETIMEDOUT : number)
        }
        return descriptor
    }

    private func send(_ octets: [UInt8], on descriptor: Int32, until deadline: Instant) throws(Failure) {
        let noSignal = Int32(MSG_NOSIGNAL)
        var offset = 0
        while offset < octets.count {
            try limit(SO_SNDTIMEO, deadline, of: descriptor)
            let count = octets[offset...].withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, noSignal) }
            if count < 0, errno == EINTR { continue }
            // A listener that refuses a request early may have answered: what it said tells more than the broken pipe.
            if count < 0, errno == EPIPE || errno == ECONNRESET { return }
            guard count > 0 else { throw broken(errno) }
            offset += count
        }
    }

    private func receive(on descriptor: Int32, _ method: RequestHead.Method, until deadline: Instant) throws(Failure)
        -> Answer
    {
        var reader = AnswerReader(method: method)
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            try limit(SO_RCVTIMEO, deadline, of: descriptor)
            let count = chunk.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw broken(errno) }
            do throws(HTTPError) {
                if count == 0 { try reader.inputEnded() } else { try reader.read(chunk[..<count]) }
            } catch {
                throw Failure(description: "the admin listener at \(text) gave no valid answer: \(error.reason)")
            }
            if reader.isEnd { return Answer(status: reader.head.status, content: reader.content) }
            guard reader.content.count <= AdminClient.contentBytesMax else {
                throw Failure(description: "the answer of the admin listener at \(text) is larger than 64 MiB")
            }
        }
    }

    /// Every wait ends when the whole exchange must.
    private func limit(_ option: Int32, _ deadline: Instant, of descriptor: Int32) throws(Failure) {
        let now = Instant.current()
        guard now < deadline else { throw broken(ETIMEDOUT) }
        setTimeout(option, (deadline.nanoseconds - now.nanoseconds) / 1_000_000 + 1, of: descriptor)
    }

    private func setTimeout(_ option: Int32, _ milliseconds: UInt64, of descriptor: Int32) {
        var time = timeval(tv_sec: Int(milliseconds / 1000), tv_usec: Int(milliseconds % 1000) * 1000)
        setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    private func unreachable(_ number: Int32) -> Failure {
        Failure(description: "cannot reach the admin listener at \(text): \(Errno(number).description)")
    }

    private func broken(_ number: Int32) -> Failure {
        let cause = number == EAGAIN || number == ETIMEDOUT ? "no answer within 10 seconds" : Errno(number).description
        return Failure(description: "the admin listener at \(text) did not answer: \(cause)")
    }
}

/// Collects one final answer.
private struct AnswerReader {
    let method: RequestHead.Method
    private(set) var head = ResponseHead()
    private(set) var content: [UInt8] = []
    private(set) var isEnd = false
    private var parser = ResponseParser()
    private var decoder: BodyDecoder?
    private var pending: [UInt8] = []

    init(method: RequestHead.Method) {
        self.method = method
    }

    mutating func read(_ octets: ArraySlice<UInt8>) throws(HTTPError) {
        let input = pending + octets
        var offset = 0
        while !isEnd, try step(input, &offset) {}
        pending = Array(input[offset...])
    }

    /// Whether there may be more to read behind the offset.
    private mutating func step(_ input: [UInt8], _ offset: inout Int) throws(HTTPError) -> Bool {
        let rest = input.span.extracting(offset..<input.count)
        guard var decoder else {
            guard let consumed = try parser.parse(rest, requestMethod: method, into: &head) else { return false }
            offset += consumed
            if !head.isInformational { start(BodyDecoder(framing: head.framing)) }
            return true
        }
        let step = try decoder.next(rest)
        self.decoder = decoder
        switch step {
        case .data(let consumed, let range):
            content += input[offset + range.lowerBound..<offset + range.upperBound]
            offset += consumed
            isEnd = decoder.isEnd
            return true
        case .needsMore(let consumed):
            offset += consumed
            return false
        case .end(let consumed):
            offset += consumed
            isEnd = true
            return false
        }
    }

    private mutating func start(_ decoder: BodyDecoder) {
        isEnd = decoder.isEnd
        self.decoder = decoder
    }

    mutating func inputEnded() throws(HTTPError) {
        guard var decoder else { throw .incomplete }
        try decoder.inputEnded()
        isEnd = true
    }
}
