import CLinux
import Glibc
import Testing
import Transport

@Suite(.timeLimit(.minutes(5)))
struct IdleMemoryTests {
    /// Resident memory of this process in octets.
    static func residentBytes() -> Int {
        var usage = [UInt8](repeating: 0, count: 256)
        let descriptor = open("/proc/self/statm", O_RDONLY)
        defer { Glibc.close(descriptor) }
        let count = read(descriptor, &usage, usage.count)
        let fields = String(decoding: usage[..<max(0, count)], as: UTF8.self).split(separator: " ")
        return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    static var isSanitized: Bool { dlsym(nil, "__tsan_init") != nil || dlsym(nil, "__asan_init") != nil }

    /// Both ends are in this process, so half as many as it may have descriptors.
    @Test func tenThousandIdleConnectionsHoldNoBuffers() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let count = min(10_000, (Int(clamping: limit.rlim_max) - 200) / 2)
            let harness = try Harness()
            let worker = harness.worker
            var clients: [Int32] = []
            clients.reserveCapacity(count)
            let payload = [UInt8](repeating: 7, count: 3000)
            // The first ones warm up what is allocated once.
            var before = 0
            for i in 0..<count {
                if i == 500 { before = IdleMemoryTests.residentBytes() }
                var ends: [Int32] = [-1, -1]
                guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { exit(10) }
                let served = ends[0]
                _ = cl_set_nonblocking(served)
                clients.append(ends[1])
                worker.performAndWait {
                    let channel = EchoChannel(worker: worker)
                    channel.deadline = worker.now.adding(milliseconds: 60_000)
                    try? channel.adopt(descriptor: served, peer: .unknown)
                }
            }
            // Each has been in use, in both directions, before it is idle.
            var buffer = [UInt8](repeating: 0, count: 4096)
            for client in clients {
                guard send(client, payload, payload.count, 0) == payload.count else { exit(11) }
                guard recv(client, &buffer, payload.count, Int32(MSG_WAITALL)) == payload.count else { exit(12) }
            }
            worker.performAndWait {}
            let each = (IdleMemoryTests.residentBytes() - before) / (count - 500)
            print("idle connections: \(count), resident octets each: \(each)")
            // A sanitizer's allocator adds its own.
            guard each < 1024 || IdleMemoryTests.isSanitized else { exit(13) }
            guard worker.performAndWait({ worker.blocks.inUse }) == 0 else { exit(14) }
            exit(0)
        }
        let lines = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self).split(separator: "\n")
        for line in lines where line.hasPrefix("idle connections") { print(line) }
    }
}
