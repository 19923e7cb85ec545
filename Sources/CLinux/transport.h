// The system calls of the Transport target. Each gives its result, or the negated errno: so errno is read right after
// the call, in one place, before anything else can overwrite it.
#ifndef ONCEGATE_CLINUX_TRANSPORT_H
#define ONCEGATE_CLINUX_TRANSPORT_H

#include "shims.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

#ifndef EPOLLEXCLUSIVE
#define EPOLLEXCLUSIVE (1u << 28)
#endif

// Declared under _GNU_SOURCE only, see shims.h.
#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif

// Declared by glibc under _GNU_SOURCE only, see shims.h.
extern int accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags);

#define CL_RESULT(call) \
    long result = (long)(call); \
    return result < 0 ? -(long)errno : result

// MARK: time

static inline uint64_t cl_monotonic_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t cl_wall_milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

// The same, exactly.
static inline uint64_t cl_wall_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// MARK: memory

// Private, anonymous, zero; NULL without memory.
static inline void *cl_map(size_t count) {
    void *memory = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}
static inline void cl_unmap(void *memory, size_t count) { munmap(memory, count); }

// MARK: poller

static inline long cl_epoll_create(void) { CL_RESULT(epoll_create1(EPOLL_CLOEXEC)); }

static inline long cl_epoll_add(int set, int descriptor, uint32_t events, uint64_t datum) {
    struct epoll_event event;
    event.events = events;
    event.data.u64 = datum;
    CL_RESULT(epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event));
}

static inline long cl_epoll_delete(int set, int descriptor) {
    struct epoll_event event = {0};
    CL_RESULT(epoll_ctl(set, EPOLL_CTL_DEL, descriptor, &event));
}

static inline long cl_epoll_wait(int set, struct epoll_event *events, int count, int milliseconds) {
    CL_RESULT(epoll_wait(set, events, count, milliseconds));
}

static inline uint64_t cl_epoll_datum(const struct epoll_event *events, long i) { return events[i].data.u64; }
static inline uint32_t cl_epoll_flags(const struct epoll_event *events, long i) { return events[i].events; }

static inline long cl_eventfd(void) { CL_RESULT(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }
static inline long cl_eventfd_signal(int descriptor) {
    uint64_t one = 1;
    CL_RESULT(write(descriptor, &one, sizeof one));
}

static inline long cl_timerfd(void) { CL_RESULT(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)); }
static inline long cl_timerfd_arm(int descriptor, uint64_t nanoseconds) {
    struct itimerspec spec = {{0, 0}, {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)}};
    CL_RESULT(timerfd_settime(descriptor, TFD_TIMER_ABSTIME, &spec, 0));
}

// MARK: sockets

static inline long cl_socket(int family) { CL_RESULT(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }
static inline long cl_connect(int descriptor, const struct sockaddr_storage *address, socklen_t length) {
    CL_RESULT(connect(descriptor, (const struct sockaddr *)address, length));
}
static inline long cl_bind(int descriptor, const struct sockaddr_storage *address, socklen_t length) {
    CL_RESULT(bind(descriptor, (const struct sockaddr *)address, length));
}
static inline long cl_listen(int descriptor, int backlog) { CL_RESULT(listen(descriptor, backlog)); }
static inline long cl_accept(int descriptor, struct sockaddr_storage *address, socklen_t *length) {
    *length = sizeof *address;
    CL_RESULT(accept4(descriptor, (struct sockaddr *)address, length, SOCK_NONBLOCK | SOCK_CLOEXEC));
}
static inline long cl_getsockname(int descriptor, struct sockaddr_storage *address, socklen_t *length) {
    *length = sizeof *address;
    CL_RESULT(getsockname(descriptor, (struct sockaddr *)address, length));
}
static inline long cl_recv(int descriptor, void *bytes, size_t count) { CL_RESULT(recv(descriptor, bytes, count, 0)); }
static inline long cl_peek(int descriptor) {
    char byte;
    CL_RESULT(recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT));
}
// 1 when the peer has ended its side or an error is due, also behind octets that are not read yet; else 0.
static inline long cl_poll_end(int descriptor) {
    struct pollfd entry = {descriptor, POLLRDHUP, 0};
    CL_RESULT(poll(&entry, 1, 0));
}
static inline long cl_send(int descriptor, const void *bytes, size_t count) {
    CL_RESULT(send(descriptor, bytes, count, MSG_NOSIGNAL));
}
static inline long cl_sendmsg(int descriptor, struct iovec *pieces, size_t count) {
    struct msghdr message = {0};
    message.msg_iov = pieces;
    message.msg_iovlen = count;
    CL_RESULT(sendmsg(descriptor, &message, MSG_NOSIGNAL));
}
static inline long cl_shutdown_write(int descriptor) { CL_RESULT(shutdown(descriptor, SHUT_WR)); }
static inline long cl_close(int descriptor) { CL_RESULT(close(descriptor)); }
static inline long cl_duplicate(int descriptor) { CL_RESULT(fcntl(descriptor, F_DUPFD_CLOEXEC, 3)); }
static inline long cl_set_nonblocking(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return -(long)errno;
    if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0) return -(long)errno;
    CL_RESULT(fcntl(descriptor, F_SETFL, flags | O_NONBLOCK));
}

static inline long cl_option_set(int descriptor, int level, int name, int value) {
    CL_RESULT(setsockopt(descriptor, level, name, &value, sizeof value));
}
static inline long cl_option_get(int descriptor, int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    if (getsockopt(descriptor, level, name, &value, &length) < 0) return -(long)errno;
    return value;
}
static inline long cl_nodelay(int descriptor) { return cl_option_set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1); }
static inline long cl_reuse_address(int descriptor) { return cl_option_set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1); }
static inline long cl_reuse_port(int descriptor) { return cl_option_set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1); }
static inline long cl_v6_only(int descriptor, int value) {
    return cl_option_set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, value);
}
static inline long cl_send_buffer(int descriptor, int bytes) {
    return cl_option_set(descriptor, SOL_SOCKET, SO_SNDBUF, bytes);
}
static inline long cl_receive_buffer(int descriptor, int bytes) {
    return cl_option_set(descriptor, SOL_SOCKET, SO_RCVBUF, bytes);
}
static inline long cl_is_listening(int descriptor) { return cl_option_get(descriptor, SOL_SOCKET, SO_ACCEPTCONN); }
// The pending error of the socket as a positive errno, 0 for none; the negated errno when it can't be asked.
static inline long cl_socket_error(int descriptor) { return cl_option_get(descriptor, SOL_SOCKET, SO_ERROR); }
// close() then sends RST and discards what is queued.
static inline long cl_linger_reset(int descriptor) {
    struct linger linger = {1, 0};
    CL_RESULT(setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}
// Who connected a UNIX socket, as the kernel saw it then: user id << 32 | process id.
static inline long cl_peer_credentials(int descriptor) {
    // struct ucred, which glibc declares under _GNU_SOURCE only.
    struct { int32_t pid; uint32_t uid; uint32_t gid; } peer;
    socklen_t length = sizeof peer;
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -(long)errno;
    return (long)((uint64_t)(peer.uid & 0x7FFFFFFF) << 32 | (uint32_t)peer.pid);
}
static inline long cl_unacknowledged(int descriptor) {
    int count = 0;
    if (ioctl(descriptor, SIOCOUTQ, &count) < 0) return -(long)errno;
    return count;
}

// Octets that the peer's TCP has acknowledged since the connection was accepted: tcpi_bytes_acked of linux/tcp.h, which
// clashes with netinet/tcp.h, at its offset in the kernel's structure.
static inline long cl_acknowledged(int descriptor) {
    unsigned char info[128] = {0};
    socklen_t length = sizeof info;
    if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, info, &length) < 0) return -(long)errno;
    if (length < sizeof info) return -(long)ENOTSUP;
    uint64_t count;
    memcpy(&count, info + 120, sizeof count);
    return (long)count;
}

// MARK: addresses

static inline void cl_address_v4(struct sockaddr_storage *out, uint32_t octets_be, uint16_t port) {
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    memset(in, 0, sizeof *in);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    in->sin_addr.s_addr = octets_be;
}
static inline void cl_address_v6(
    struct sockaddr_storage *out, const uint8_t octets[16], uint16_t port, uint32_t scope) {
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
    memset(in, 0, sizeof *in);
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    in->sin6_scope_id = scope;
    memcpy(&in->sin6_addr, octets, 16);
}
// Gives the length, or 0 when the path is too long. A leading NUL means the abstract namespace.
static inline socklen_t cl_address_unix(struct sockaddr_storage *out, const uint8_t *path, size_t count) {
    struct sockaddr_un *un = (struct sockaddr_un *)out;
    memset(un, 0, sizeof *un);
    if (count >= sizeof un->sun_path) return 0;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, count);
    socklen_t base = (socklen_t)offsetof(struct sockaddr_un, sun_path);
    return base + (socklen_t)count + (count > 0 && path[0] == 0 ? 0 : 1);
}
static inline uint16_t cl_address_family(const struct sockaddr_storage *in) { return in->ss_family; }
static inline uint16_t cl_address_port(const struct sockaddr_storage *in) {
    if (in->ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)in)->sin_port);
    if (in->ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)in)->sin6_port);
    return 0;
}
static inline uint32_t cl_address_v4_octets(const struct sockaddr_storage *in) {
    return ((const struct sockaddr_in *)in)->sin_addr.s_addr;
}
static inline const uint8_t *cl_address_v6_octets(const struct sockaddr_storage *in) {
    return (const uint8_t *)&((const struct sockaddr_in6 *)in)->sin6_addr;
}
static inline uint32_t cl_address_scope(const struct sockaddr_storage *in) {
    return ((const struct sockaddr_in6 *)in)->sin6_scope_id;
}
static inline const uint8_t *cl_address_path(const struct sockaddr_storage *in) {
    return (const uint8_t *)((const struct sockaddr_un *)in)->sun_path;
}
static inline size_t cl_address_path_count(const struct sockaddr_storage *in, socklen_t length) {
    size_t base = offsetof(struct sockaddr_un, sun_path);
    if (length <= base) return 0;
    const char *path = ((const struct sockaddr_un *)in)->sun_path;
    return path[0] == 0 ? length - base : strnlen(path, length - base);
}
// Parses numeric text. Gives 1 when the address is of that family.
static inline int cl_parse_v4(const char *text, uint32_t *octets_be) { return inet_pton(AF_INET, text, octets_be); }
static inline int cl_parse_v6(const char *text, uint8_t octets[16]) { return inet_pton(AF_INET6, text, octets); }
static inline long cl_format_v6(const uint8_t octets[16], char *out, size_t count) {
    return inet_ntop(AF_INET6, octets, out, (socklen_t)count) ? (long)strlen(out) : 0;
}

// MARK: files of UNIX sockets

static inline long cl_unlink(const char *path) { CL_RESULT(unlink(path)); }
static inline long cl_chmod(const char *path, uint32_t mode) { CL_RESULT(chmod(path, (mode_t)mode)); }
static inline long cl_chown(const char *path, uint32_t user, uint32_t group) { CL_RESULT(chown(path, user, group)); }
// 1 when the path names a socket; fills device and inode.
static inline long cl_is_socket(const char *path, uint64_t *device, uint64_t *inode) {
    struct stat status;
    if (lstat(path, &status) < 0) return -(long)errno;
    *device = (uint64_t)status.st_dev;
    *inode = (uint64_t)status.st_ino;
    return S_ISSOCK(status.st_mode) ? 1 : 0;
}
static inline long cl_open_read(const char *path) { CL_RESULT(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)); }
static inline long cl_file_mode(int descriptor) {
    struct stat status;
    if (fstat(descriptor, &status) < 0) return -(long)errno;
    return (long)(status.st_mode & 07777);
}
static inline long cl_read(int descriptor, void *bytes, size_t count) { CL_RESULT(read(descriptor, bytes, count)); }
static inline long cl_open_null(void) { CL_RESULT(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

// MARK: resolver

static inline int cl_getaddrinfo(const char *host, const char *port, struct addrinfo **out) {
    struct addrinfo hints = {0};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
    return getaddrinfo(host, port, &hints, out);
}

// MARK: signals

static inline long cl_signal_ignore(int number) { return signal(number, SIG_IGN) == SIG_ERR ? -(long)errno : 0; }
static inline long cl_signal_handle(int number, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    CL_RESULT(sigaction(number, &action, 0));
}
// From a signal handler: one octet, the signal's number, into a pipe.
static inline void cl_signal_notify(int descriptor, int number) {
    int saved = errno;
    uint8_t octet = (uint8_t)number;
    ssize_t ignored = write(descriptor, &octet, 1);
    (void)ignored;
    errno = saved;
}
static inline long cl_pipe(int ends[2]) {
    if (pipe(ends) < 0) return -(long)errno;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}
static inline long cl_read_octet(int descriptor) {
    uint8_t octet;
    ssize_t n = read(descriptor, &octet, 1);
    return n == 1 ? octet : -1;
}

// The text is valid until the thread's next call.
static inline const char *cl_error_text(int number) { return strerror(number); }

// MARK: files

// A file without a name, which nobody can give one. EOPNOTSUPP, EISDIR or ENOENT where the file system has none.
static inline long cl_nameless_file(const char *directory) {
    CL_RESULT(open(directory, __O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
}

// A file whose name is gone before this returns. `pattern`: as mkstemp(3) takes and changes it.
static inline long cl_unlinked_file(char *pattern) {
    int descriptor = mkstemp(pattern);
    if (descriptor < 0) return -(long)errno;
    if (unlink(pattern) < 0 || fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0) {
        long error = -(long)errno;
        close(descriptor);
        return error;
    }
    return descriptor;
}

static inline long cl_write_at(int descriptor, const void *bytes, size_t count, off_t offset) {
    CL_RESULT(pwrite(descriptor, bytes, count, offset));
}
static inline long cl_read_at(int descriptor, void *bytes, size_t count, off_t offset) {
    CL_RESULT(pread(descriptor, bytes, count, offset));
}
static inline long cl_make_directory(const char *path) { CL_RESULT(mkdir(path, 0700)); }

#undef CL_RESULT
#endif
