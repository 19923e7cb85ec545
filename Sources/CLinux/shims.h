// What Swift's Glibc module does not import: function-like macros, unions and variadic calls, each as an inline
// function.
#ifndef ONCEGATE_CLINUX_SHIMS_H
#define ONCEGATE_CLINUX_SHIMS_H

// No _GNU_SOURCE: it changes types that the Dispatch and Glibc modules define too, and Swift then refuses to import
// them together.
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

// Octets that malloc has given out, in all arenas and in mappings of their own (mallinfo(3)).
static inline size_t cl_heap_allocated(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

#endif
