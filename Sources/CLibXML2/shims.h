// libxml2's SAX2 parser, its tree and XPath. No I/O of it is used: documents are in memory, a document type is refused.
#ifndef ONCEGATE_CLIBXML2_SHIMS_H
#define ONCEGATE_CLIBXML2_SHIMS_H

#include <libxml/SAX2.h>
#include <libxml/encoding.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>

// xmlFree is a variable, which Swift takes for shared mutable state.
static inline void oncegate_xml_free(void *memory) {
    if (memory) xmlFree(memory);
}

#endif
