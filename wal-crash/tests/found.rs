//! Programs that broke a promise once, as they were found. Each must hold for ever.

use wal_crash::{Program, run};

/// What was wrong, and the program.
const FOUND: [(&str, &str); 7] = [
    (
        "a page lost what a failed write had left in it between recovery's look and its copy, and the open failed",
        "seed=193766 policy=always segment=262144 preallocate=0 buffer=1048576 padding=4096 sector=512 crash=subset \
         directory=unordered names=with-file overwrite=powersafe rest=stale sync=ext4 / \
         emfile:sync-data:1:1 read-from:1 append:1 append:75 flush kill ~12994957326652186475 / \
         busy append:10 append:53 sync sync flush sync crash:16:after ~4056585820042614324",
    ),
    (
        "the suite took the doings of the kernel for those of a read-only open",
        "seed=154042 policy=always segment=8192 preallocate=0 buffer=4096 padding=0 sector=512 crash=prefix \
         directory=unordered names=strict overwrite=powersafe rest=zeros sync=ext4-journal / \
         busy eio:sync-data:5:0 append:0 truncate-after:1 batch:3:77 batch:2:646 close = / look close =0.0.3.0.0.0.3.1",
    ),
    (
        "the suite asked a reader to know of records that a failed sync had left in the cache alone",
        "seed=132281 policy=always segment=8192 preallocate=1 buffer=4096 padding=0 sector=512 crash=prefix directory=unordered \
         names=strict overwrite=powersafe rest=zeros sync=ext4-journal / efbig:sync-data:6:1 append:0 append-durable:0 \
         append-durable:0 append:0 append:0 follow-other drop = / busy follow-other kill:11:after =0.0.3",
    ),
    (
        "a copy whose rename in two steps had failed between them was built upon, and a power loss took its name",
        "seed=101837 policy=always segment=8192 preallocate=1 buffer=4096 padding=0 sector=512 crash=prefix directory=unordered \
         names=strict overwrite=powersafe rest=zeros rename=two-steps sync=ext4 / batch:1:0 kill:17:after = / \
         edquot:sync-directory:0:1 drop =",
    ),
    (
        "a parent whose sync was refused was taken for one that needs none, although an earlier process had died before its own",
        "seed=45841 policy=always segment=8192 preallocate=1 buffer=4096 padding=0 sector=512 crash=prefix directory=unordered \
         names=strict overwrite=powersafe rest=zeros sync=ext4 / kill:0:after = / erofs:anywhere:1:1 append:0 kill =",
    ),
    (
        "a record was acknowledged in the segment after one that was deleted",
        "seed=5033 policy=always segment=8192 preallocate=1 buffer=4096 padding=512 sector=512 crash=prefix directory=unordered \
         names=strict overwrite=powersafe rest=zeros rename=one-step sync=ext4 / \
         append:0 batch:1:0 append-durable:0 append:0 append:0 remove-newest append-durable:0 close =",
    ),
    (
        "a truncation that failed inside a rename in two steps was called undone, and was not",
        "seed=17932 policy=always segment=8192 preallocate=1 buffer=4096 padding=0 sector=512 crash=prefix directory=unordered \
         names=strict overwrite=powersafe rest=zeros rename=two-steps sync=ext4 / \
         batch:1:0 kill = / enospc:sync-directory:2:0 truncate-after:1 close =",
    ),
];

#[test]
fn what_was_found_stays_mended() {
    for (what, text) in FOUND {
        let program: Program = text.parse().expect(what);
        if let Err(violation) = run(&program) {
            panic!("{what}: {violation}");
        }
    }
}
