/* MF_EXPORT marks what a shared library shows; in firmware it is nothing. */
#ifndef MICROFED_EXPORT_H
#define MICROFED_EXPORT_H

#ifndef MF_EXPORT
#define MF_EXPORT
#endif

#endif
