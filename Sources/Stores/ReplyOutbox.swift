internal import Idempotency

/// Collects replies and hands them over one list per worker.
struct ReplyOutbox {
    typealias Deliver = @Sendable (_ worker: Int, _ replies: [StoreReply]) -> Void

    private static let directWorkers = 64
    private let sink: Deliver
    private var lists: [[StoreReply]] = []
    /// Workers beyond the expected numbers.
    private var others: [UInt32: [StoreReply]] = [:]

    init(sink: @escaping Deliver) {
        self.sink = sink
    }

    mutating func add(_ address: ReplyAddress, _ result: StoreResult) {
        let worker = Int(address.worker)
        guard worker < Self.directWorkers else {
            others[address.worker, default: []].append(StoreReply(address: address, result: result))
            return
        }
        while lists.count <= worker { lists.append([]) }
        lists[worker].append(StoreReply(address: address, result: result))
    }

    mutating func deliver() {
        for worker in lists.indices where !lists[worker].isEmpty {
            var replies: [StoreReply] = []
            swap(&replies, &lists[worker])
            sink(worker, replies)
        }
        guard !others.isEmpty else { return }
        for (worker, replies) in others { sink(Int(worker), replies) }
        others.removeAll()
    }
}
