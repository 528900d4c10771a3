// Gives pn_precompiled something to compile (Parts.cmake).
