import Dispatch
import Glibc
import Testing
import Transport

@Suite(.timeLimit(.minutes(5)))
struct BlockingTests {
    @Test func threadsAndWaitersAreBounded() {
        let queue = BlockingQueue(threadsMax: 3, waitingMax: 2)
        let (started, gate, done) = (Semaphore(), Semaphore(), Semaphore())
        let work: BlockingQueue.Work = {
            started.post()
            gate.wait()
            done.post()
        }
        for _ in 0..<3 { #expect(queue.submit(work)) }
        // All three run at once, although they block and there may be fewer cores.
        for _ in 0..<3 { started.wait() }
        #expect(queue.submit(work) && queue.submit(work))
        #expect(!queue.submit(work))
        for _ in 0..<5 { gate.post() }
        for _ in 0..<5 { done.wait() }
    }

    @Test func workIsTakenInOrder() {
        let queue = BlockingQueue(threadsMax: 1)
        let order = Recorder<Int>()
        for i in 0..<500 { #expect(queue.submit { order.append(i) }) }
        for i in 0..<500 { #expect(order.next() == i) }
    }

    @Test func signalsComeAsCallsAndAreNotFatal() async {
        await #expect(processExitsWith: .success) {
            let seen = Recorder<Signal>()
            let queue = DispatchQueue(label: "signals")
            try Signals.start(Signal.allCases, on: queue) { signal in
                dispatchPrecondition(condition: .onQueue(queue))
                seen.append(signal)
            }
            for signal in Signal.allCases {
                kill(getpid(), signal.rawValue)
                guard seen.next() == signal else { exit(10) }
            }
            kill(getpid(), SIGPIPE)
            exit(0)
        }
    }
}
