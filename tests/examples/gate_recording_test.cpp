#include "examples/gate_recording.hpp"

#include <cmath>
#include <string>

#include "tests/catch.hpp"

using namespace examples;

namespace {

/// One piece of text, read by as many units as there are forget gates; the other gates stay at 0.5.
GateRecording reading(const std::string& text, const Vocabulary& vocabulary,
                      const std::vector<std::vector<float>>& forget_gates) {
    GateRecording r{1, forget_gates.size(), vocabulary.symbols(text), {}};
    for (std::size_t t = 0; t < text.size(); ++t) {
        for (const Gate gate : {input_gate, forget_gate, output_gate}) {
            for (const std::vector<float>& unit : forget_gates)
                r.gates.push_back(gate == forget_gate ? unit[t] : 0.5f);
        }
    }
    return r;
}

}  // namespace

TEST_CASE("gate recording: the use of a gate is its mean and how often it is nearly open or closed") {
    const Vocabulary vocabulary("abcd");
    const GateRecording r = reading("abcd", vocabulary, {{0, 0.05f, 0.5f, 1}, {0.5f, 0.5f, 0.5f, 0.95f}});
    const GateUse use = use_of(r, forget_gate);
    CHECK(use.mean == Approx((0 + 0.05 + 0.5 + 1 + 0.5 * 3 + 0.95) / 8));
    CHECK(use.open == Approx(2.0 / 8));
    CHECK(use.closed == Approx(2.0 / 8));
    CHECK(use_of(r, output_gate).mean == Approx(0.5));
    CHECK(use_of(r, output_gate).open == 0);
}

TEST_CASE("gate recording: what is kept per step is the geometric mean of the forget gate") {
    const Vocabulary vocabulary("ab");
    const std::vector<double> kept = kept_per_step(
        reading("abab", vocabulary, {{0.5f, 0.5f, 0.5f, 0.5f}, {1, 0.25f, 1, 0.25f}, {1, 0, 1, 1}}));
    REQUIRE(kept.size() == 3);
    CHECK(kept[0] == Approx(0.5));
    CHECK(kept[1] == Approx(0.5));
    CHECK(kept[2] < 1e-7);  // erased once
    CHECK(kept[2] > 0);
}

TEST_CASE(
    "gate recording: a gate that one class of symbols moves is found, with its means there and elsewhere") {
    const std::string text = "ab c\nd e,F1";
    const Vocabulary vocabulary(text);
    std::vector<float> at_spaces, at_vowels_mostly;
    for (const char c : text) {
        at_spaces.push_back(c == ' ' ? 0.1f : 0.9f);
        at_vowels_mostly.push_back(c == 'a' ? 1 : c == 'e' ? 0.6f : 0.2f);
    }
    const auto found = specialists(reading(text, vocabulary, {at_vowels_mostly, at_spaces}), vocabulary);
    REQUIRE(found.size() == 2);  // the other gates never move
    CHECK(found[0].gate == forget_gate);
    CHECK(found[0].unit == 1);
    CHECK(found[0].symbols == "spaces");
    CHECK(found[0].inside == Approx(0.1));
    CHECK(found[0].outside == Approx(0.9));
    CHECK(found[0].explained == Approx(1));
    CHECK(found[1].unit == 0);
    CHECK(found[1].symbols == "vowels");
    CHECK(found[1].inside == Approx(0.8));
    CHECK(found[1].outside == Approx(0.2));
    // The mean of 11 symbols is 3.4/11; the variance between the classes is Σ n (mean of class - mean)² / 11.
    const double mean = 3.4 / 11, variance = (1 + 0.36 + 9 * 0.04) / 11 - mean * mean;
    const double between = (2 * std::pow(0.8 - mean, 2) + 9 * std::pow(0.2 - mean, 2)) / 11;
    CHECK(found[1].explained == Approx(between / variance));
}
