// Debian's nghttp2, with its security fixes. Linking fails where the limits on resets and CONTINUATION are missing.
#ifndef ONCEGATE_CNGHTTP2_SHIMS_H
#define ONCEGATE_CNGHTTP2_SHIMS_H

#include <nghttp2/nghttp2.h>

#endif
